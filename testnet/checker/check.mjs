#!/usr/bin/env node
// An independent checker: docs/protocol/encoding.md and transactions.md once more, as a program. It shares no code with
// Quorate, believes nothing but the genesis, and computes again all that can be. Bytes are lower-case hexadecimal throughout.
//   node check.mjs --genesis genesis.json [URL…]   every block of these nodes; of none named, of all in the genesis
//   node check.mjs --vectors vectors               every vector
//   node check.mjs --evidence FILE genesis.json    what `quorate evidence -o json` printed, from these bytes alone: with later epochs
// Exit codes: 0 all holds · 2 usage · 4 a node could not be read · 6 a link is broken, and which.
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'; import { readFileSync } from 'node:fs';
class Trouble extends Error { constructor(code, message) { super(message); this.code = code; } } const fails = (code, what) => { throw new Trouble(code, what); };
const broken = (what, expected, got) => fails(6, `${what}: expected ${expected}, got ${got}`), same = (what, expected, got) => String(expected) === String(got) || broken(what, expected, got);
// Primitives: put writes a value, get reads one with take, which yields that many bytes of the input.
const uint = (n, least = 0, most = 2n ** (8n * BigInt(n)) - 1n) => ({ get: take => String(BigInt('0x' + take(n))), put: v => v >= least && v <= most ? BigInt(v).toString(16).padStart(2 * n, '0') : broken('number', `${least} to ${most}`, v) });
const [u8, u16, u32, u64] = [1, 2, 4, 8].map(n => uint(n)), time = { put: v => u64.put(BigInt.asUintN(64, BigInt(v))), get: take => String(BigInt.asIntN(64, BigInt(u64.get(take)))) };
const fixed = n => ({ put: v => /^[0-9a-f]*$/.test(v) && v.length === 2 * n ? v : broken('bytes', `${n} in hexadecimal`, v), get: take => take(n) });
const [d16, d32, d64] = [16, 32, 64].map(fixed), bytes = { put: v => u32.put(v.length / 2) + fixed(v.length / 2).put(v), get: take => take(Number(u32.get(take))) };
const optional = { put: v => v === undefined ? '00' : '01' + bytes.put(v), get: take => bit.get(take) === '1' ? bytes.get(take) : undefined }, bit = { put: v => v ? '01' : '00', get: uint(1, 0, 1).get };
const hex = (v, from = 'utf8') => Buffer.from(v, from).toString('hex'), text = { put: v => bytes.put(hex(v)), get: take => Buffer.from(bytes.get(take), 'hex').toString() };
const tag = v => ({ put: () => hex(v), get: take => same('tag', hex(v), take(v.length)) }), some = (n, of, take, all = []) => { while (n-- > 0) all.push(of.get(take)); return all; };
const list = of => ({ put: v => u32.put(v?.length ?? 0) + (v ?? []).map(each => of.put(each)).join(''), get: take => some(u32.get(take), of, take) });
const struct = fields => ({ put: v => Object.entries(fields).map(([name, of]) => of.put(v[name])).join(''), get: take => Object.fromEntries(Object.entries(fields).map(([name, of]) => [name, of.get(take)])) });
const read = (of, input, at = 0, value = of.get(n => (at += 2 * n) <= input.length ? input.slice(at - 2 * n, at) : broken('bytes', `${n} more`, 'the end'))) =>
  (same('length', at / 2, input.length / 2), same('encoding', of.put(value), input), value); // nothing missing or left, and written so again
const header = struct({ epoch: d32, seq: u64, parent: d32, batch: d32, results: d32, state: d32, time, next_epoch: d32 }), outcome = struct({ id: d32, status: u8, code: u16, seq: u64, result: bytes });
const claim = struct({ tag: tag('quorate/tx\x01'), chain: d32, sender: d32, nonce: uint(8, 1), last: u64, operation: bytes });
const message = body => struct({ tag: tag('quorate/msg\x01'), chain: d32, epoch: d32, mode: u8, kind: u8, author: u32, ...body });
const slot = { view: u64, seq: u64, batch_digest: d32 }, [vote, named, ofView] = [message(slot), message({ attached_digest: d32 }), message({ view: u64 })], shows = of => message({ view: u64, start: u64, header_digest: d32, ...of, attached_digest: d32 });
const messages = { 1: vote, 2: vote, 3: vote, 7: ofView, 8: shows({ accepted: list(struct(slot)) }), 9: vote, 10: vote, 11: message({ ...slot, attached_digest: d32 }), 12: ofView, 4: message({ view: u64, delivered: u64 }), 16: message({ seq: u64, header_digest: d32 }),
  5: shows({ prepared: list(struct(slot)) }), 18: message({ from: u64, to: u64 }), 19: named, 22: named, 23: named, 6: message({ view: u64, view_changes: list(struct({ author: u32, digest: d32 })) }), 20: message({ head: u64, attached_digest: d32 }),
  17: message({ view: u64, installed: uint(1, 0, 1), delivered: u64, acknowledged: u64, stable: u64, progress: list(uint(1, 0, 3)) }),
  21: message({ seq: u64, batch_digest: d32, missing: list(u16) }), 24: named, 25: message({ change: d32, incarnation: d16, seq: u64, header_digest: d32 }), 26: named, 27: message({ recovery: d32, incarnation: d16, seq: u64, willing: uint(1, 0, 1), given: d32 }) };
const detached = struct({ signed: bytes, signature: d64 }), member = struct({ name: text, key: d32, peer_id: text, address: text, api: text, incarnation: d16 });
const bounds = { window: [8, 4096], checkpoint: [2, 1024], pipeline: [1, 64], burst: [1, 64], batch_requests: [1, 2000], batch_bytes: [1024, 2 ** 21], request_bytes: [256, 2 ** 18],
  write_set_bytes: [1024, 2 ** 22], request_write_keys: [1, 1024], request_write_bytes: [1024, 2 ** 19], nonce_window: [16, 1024], last_ahead: [1024, 2 ** 24] };
const modes = { byzantine: 1, crash: 2 }, mode = { put: m => u8.put(modes[m]), get: take => ['', 'byzantine', 'crash'][u8.get(take)] };
const configuration = { mode, members: list(member), parameters: struct(Object.fromEntries(Object.keys(bounds).map(name => [name, u32]))), operators: list(d32), threshold: u32 }, config = struct(configuration);
const ends = { chain: d32, of: d32, next: config }, authority = list(struct({ key: d32, signature: d64 })), whole = of => ({ put: v => v, get: take => of.put(of.get(take)) }); // kept as bytes
const change = struct({ ...ends, last: u64, authority, readiness: list(detached) }), recovery = struct({ ...ends, number: u64, seq: u64, header: d32, evidence: list(d32), authority });
const batch = { put: v => time.put(v.time) + (v.change ? 'ffffffff' + v.change : list(bytes).put(v.transactions)), // a change stands in the place of a count
  get: (take, at = time.get(take), n = u32.get(take)) => n === '4294967295' ? { time: at, change: whole(change).get(take) } : { time: at, transactions: some(n, bytes, take) } };
const place = struct({ seq: u64, batch_digest: d32, time }), bodies = { put: v => place.put(v) + (v.change ? '01' + v.change : '00' + list(bytes).put(v.transactions)),
  get: take => ({ ...place.get(take), ...(bit.get(take) === '1' ? { change: whole(change).get(take) } : { transactions: list(bytes).get(take) }) }) };
const handOver = struct({ header, next: config, outgoing: list(detached), incoming: list(detached), recovery: { put: v => v ? '01' + v : '00' } });
const forms = { '01': batch, '02': struct({ time, body_digests: list(d32) }), '03': struct({}) }, wish = { get: take => { const f = take(1); return { f, ...forms[f].get(take) }; }, put: v => v.f + forms[v.f].put(v) };
const attachments = { 1: wish, 9: wish, 8: struct({ attestations: list(detached) }), 11: struct({ votes: list(detached) }), 5: struct({ attestations: list(detached), votes: list(list(detached)) }), 19: struct({ blocks: list(bytes), checkpoint: bytes, hand_over: bytes }),
  20: struct({ transactions: list(bytes) }), 22: bodies, 24: struct({ change: whole(change) }), 26: struct({ recovery: whole(recovery) }), 23: struct({ a: bytes, a_signature: d64, b: bytes, b_signature: d64 }) };
const zero = '0'.repeat(64), H = (domain, ...parts) => createHash('sha256').update(String.fromCharCode(domain.length) + domain).update(Buffer.from(parts.join(''), 'hex')).digest('hex');
const genesis = struct({ chain: text, test: bit, ...configuration, time }), [headerDigest, genesisDigest] = [h => H('quorate/header/1', header.put(h)), g => H('quorate/genesis/1', genesis.put(g))];
const [idOf, bodyOf] = [signed => H('quorate/tx/id/1', signed), whole => H('quorate/tx/body/1', whole)];
const batchDigest = (at, all, c) => c ? H('quorate/batch/change/1', time.put(at), c) : H('quorate/batch/1', time.put(at), list(d32).put(all.map(bodyOf)));
const configDigest = c => H('quorate/configuration/1', config.put(c)), signedOf = (name, c) => hex(`quorate/${name}\x01`) + c.chain + c.of + configDigest(c.next); // what operators sign begins so
const signedChange = c => signedOf('change', c) + u64.put(c.last), signedRecovery = r => signedOf('recovery', r) + u64.put(r.number) + u64.put(r.seq) + r.header + list(d32).put(r.evidence);
const [leaf, node] = [o => H('quorate/merkle/leaf/1', outcome.put(o)), (left, right) => H('quorate/merkle/node/1', left, right)];
const root = (n, tree) => H('quorate/merkle/root/1', u64.put(n), tree), half = n => 2 ** Math.floor(Math.log2(n - 1)); // the largest power of two below n
const top = leaves => leaves.length < 2 ? leaves.join('') : node(top(leaves.slice(0, half(leaves.length))), top(leaves.slice(half(leaves.length))));
const climb = (at, i, n, path) => n < 2 ? at : i < half(n) // from leaf i of n to the top, path being its siblings upwards
  ? node(climb(at, i, half(n), path.slice(0, -1)), path.at(-1)) : node(path.at(-1), climb(at, i - half(n), n - half(n), path.slice(0, -1)));
const write = { put: ([key, value]) => value === undefined ? '02' + bytes.put(key) : '01' + bytes.put(key) + bytes.put(value) }, nextState = (before, seq, writes) => H('quorate/state/1', before, u64.put(seq), list(write).put([...writes].sort(([a], [b]) => a < b ? -1 : 1)));
// Signatures, as OpenSSL judges them. It refuses some that ZIP 215 accepts; only who signs can make such, on purpose.
const keys = new Map(), held = new Set();
function mustHold(what, key, signed, signature) {
  const [x, m, s] = [key, signed, d64.put(signature)].map(b => Buffer.from(b, 'hex')), all = key + signature + signed;
  if (!keys.has(key)) keys.set(key, createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: x.toString('base64url') }, format: 'jwk' }));
  held.has(all) || verify(null, m, keys.get(key), s) && held.add(all) || broken(what, `that of ${key}`, signature);
}
// Execution: the application's keys, and of each sender the highest nonce used and which id has used each.
const statuses = ['', 'applied', 'failed', 'duplicate', 'expired', 'nonce_used', 'decided_earlier', 'nonce_too_distant', 'last_too_distant', 'invalid'];
const fields = { 1: { key: bytes, value: bytes }, 2: { key: bytes }, 3: { key: bytes, old: optional, value: bytes }, 4: { key: bytes } };
function apply(state, op) { // [code, result, write]
  const kind = parseInt(op.slice(0, 2), 16); if (op && !fields[kind]) return [0xff07, '']; let o = {}; try { o = read(struct({ kind: u8, ...fields[kind] }), op); } catch { /* no key */ }
  if (!o.key || o.key.length > 2 * 1024 || [o.value, o.old].some(v => v?.length > 2 * 61440)) return [0xff06, '']; const now = state.get(o.key), content = now === undefined ? '00' : '01' + now;
  return kind === 4 ? [0, content] : kind === 3 && now !== o.old ? [1, content] : [0, '', [o.key, o.value]];
}
const newMachine = () => ({ state: new Map(), sessions: new Map(), digest: zero }), needed = ({ mode, members: { length: n } }) => Math.ceil((n + (mode === 'crash' ? 0 : Math.floor((n - 1) / 3)) + 1) / 2); // two quorums share a correct one
function execute(machine, seq, transactions, p) {
  let [budget, writes, window] = [p.write_set_bytes, new Map(), BigInt(p.nonce_window)];
  const outcomes = transactions.map(t => { if (!machine.sessions.has(t.sender)) machine.sessions.set(t.sender, { highest: 0n, used: new Map() });
    const s = machine.sessions.get(t.sender), [nonce, last, slot] = [t.nonce, t.last, seq].map(BigInt), used = s.used.get(nonce);
    const is = (status, at = seq, code = 0, result = '') => ({ id: t.id, status: statuses.indexOf(status), code, seq: at, result });
    const refused = nonce === 0n || last === 0n ? is('invalid') : nonce <= s.highest - window ? is('decided_earlier') : used ? (used.id === t.id ? is('duplicate', used.seq) : is('nonce_used')) : slot > last ? is('expired')
      : nonce > s.highest + window ? is('nonce_too_distant') : last - slot > BigInt(p.last_ahead) && is('last_too_distant'); if (refused) return refused; let [code, result, write] = apply(machine.state, t.operation);
    const cost = result.length / 2 + (write ? 100 + write.join('').length / 2 : 0); if (cost > Math.min(p.request_write_bytes, budget)) [code, result, write] = [cost > p.request_write_bytes ? 0xff03 : 0xff04, ''];
    else budget -= cost; // what is dropped costs nothing
    if (write) writes.set(...write), write[1] === undefined ? machine.state.delete(write[0]) : machine.state.set(...write); s.used.set(nonce, { id: t.id, seq }), s.highest = nonce > s.highest ? nonce : s.highest;
    return is(code ? 'failed' : 'applied', seq, code, result); }); return { outcomes, writes, results: root(outcomes.length, top(outcomes.map(leaf))), state: machine.digest = nextState(machine.digest, seq, writes) };
}
async function get(url) {
  const answer = await fetch(url).catch(e => fails(4, e.cause?.message ?? e.message)), body = await answer.json().catch(() => ({}));
  return answer.ok ? body : body.reason === 'unknown' ? undefined : fails(4, `${url}: ${answer.status} ${body.message}`);
}
function certificate(what, net, kind, votes, agrees, least = needed(net)) { // of distinct members, each of whose votes holds
  for (const v of votes) { const m = read(messages[kind], v.signed), who = `${what} of member ${v.member}`, key = net.members[v.member - 1]?.key;
    same(`${who}: tag`, [net.chain, net.id, modes[net.mode], kind, v.member], [m.chain, m.epoch, m.mode, m.kind, m.author]);
    mustHold(`${who}: signature`, key ?? broken(who, `1 to ${net.members.length}`, v.member), v.signed, v.signature), agrees(who, m); } const n = new Set(votes.map(v => v.member)).size;
  n === votes.length && n >= least || broken(`${what}: distinct members`, `${least} or more`, `${n} in ${votes.length} votes`);
}
// Epochs: net is the chain's name with the epoch that is running, its identity, number, base and configuration.
const begin = (g, id = genesisDigest(g)) => ({ ...g, chain: id, id, number: '0', base: '0' });
function mayFollow(what, net, { next: c, ...asked }, signed) { // a configuration that can run, of the same members, and operators' signatures that hold
  const p = c.parameters, o = c.operators, bare = all => all.map(m => member.put({ ...m, incarnation: '0'.repeat(32) }));
  same(`${what}: chain, epoch, members, nonce window`, [net.chain, net.id, bare(net.members), net.parameters.nonce_window], [asked.chain, asked.of, bare(c.members), p.nonce_window]);
  Object.entries(bounds).every(([name, [least, most]]) => p[name] >= least && p[name] <= most) && +p.burst >= +p.pipeline && +p.window >= 2 * p.checkpoint + +p.burst && +p.request_bytes <= +p.batch_bytes &&
    +p.request_write_bytes <= +p.write_set_bytes && p.window * needed(c) * 200 <= 2 ** 22 - 2 ** 16 && (c.mode === 'crash' || c.mode === 'byzantine' && c.members.length >= 4) && c.members.every(m => /[^0]/.test(m.incarnation)) &&
    o.length <= 32 && new Set(o).size === o.length && !o.includes(zero) && +c.threshold <= o.length && (!o.length || +c.threshold > 0) || broken(what, 'a configuration that can run', JSON.stringify(c));
  return asked.authority.forEach((a, i, all) => (net.operators.includes(a.key) && (!i || all[i - 1].key < a.key) || broken(what, 'distinct operators in order', a.key), mustHold(what, a.key, signed, a.signature))), asked.authority.length >= net.threshold && net.threshold > 0;
}
function announces(net, at, encoded) { // the digest of what a change begins behind a slot; zero if it is void there
  const c = read(change, encoded), signed = signedChange(c), digest = configDigest(c.next), distance = seq => BigInt(at) - BigInt(seq), lives = c.next.members.flatMap((m, i) => m.incarnation === net.members[i]?.incarnation ? [] : [i + 1]);
  try { const enough = mayFollow('change', net, c, signed), ready = c.readiness.map(r => { // each by a member as the change lists it, not long before
      const m = read(messages[25], r.signed), by = c.next.members[m.author - 1], lag = distance(m.seq);
      same('ready', [net.chain, net.id, modes[net.mode], 25, H('quorate/change/1', signed), by?.incarnation], [m.chain, m.epoch, m.mode, m.kind, m.change, m.incarnation]);
      return lag > 0 && lag <= 2 * net.parameters.window && lag <= distance(net.base) || broken('ready', `near ${at}`, m.seq), mustHold('ready', by.key, r.signed, r.signature), Number(m.author);
    }), renewal = !c.authority.length && lives.length === 1 && ready.includes(lives[0]) && configDigest({ ...c.next, members: net.members }) === configDigest(net);
    return (enough || renewal) && digest !== configDigest(net) && distance(c.last) <= 0 && ready.every((who, i) => !i || ready[i - 1] < who) && ready.length >= needed(c.next) ? digest : zero;
  } catch (e) { if (!(e instanceof Trouble)) throw e; return zero; }
}
function follow(net, e) { // the epoch that a node says to be next, if the hand-over that it shows holds
  const what = `epoch ${e.number}`, h = e.header, digest = headerDigest(h), r = e.recovery && read(recovery, e.recovery), old = v => !r && v.signed.slice(88, 152) === net.id;
  const next = { ...net, ...Object.fromEntries(Object.keys(configuration).map(name => [name, e[name]])), id: r ? H('quorate/recovery/1', signedRecovery(r)) : digest, number: String(BigInt(net.number) + 1n), base: h.seq };
  same(`${what}: number, identity, chain, base, quorum`, [next.number, next.id, net.chain, h.seq, needed(next)], [e.number, e.identity, e.chain, e.base, e.quorum]);
  const all = (which, of) => certificate(`${what}: attestation`, of, 16, e.hand_over.filter(which), (who, m) => same(who, [h.seq, digest], [m.seq, m.header_digest])), above = BigInt(h.seq) - BigInt(net.base);
  if (r) mayFollow(what, net, r, signedRecovery(r)) || broken(what, 'enough operators', r.authority.length), same(`${what}: recovery`, ['byzantine', h.seq, digest, configDigest(e)], [r.next.mode, r.seq, r.header, configDigest(r.next)]);
  else same(`${what}: what the header announces`, configDigest(e), h.next_epoch), all(old, net);
  return above > 0 && h.epoch === net.id || r && !above || broken(`${what}: base`, `a slot of epoch ${net.number}`, h.seq), all(v => !old(v), next), next;
}
function checkBlock(net, chain, { header: h, transactions: all, ...b }) {
  const seq = String(chain.length), what = `block ${seq}`, before = chain.at(-1); same(`${what}: epoch, seq, parent`, [before.ended === net.id ? 'another' : net.id, seq, before.digest], [h.epoch, h.seq, h.parent]);
  same(`${what}: next epoch`, b.change ? announces(net, seq, b.change) : zero, h.next_epoch), b.change && same(`${what}: transactions beside a change`, 0, all.length);
  same(`${what}: time`, Math.max(Number(before.time), Number(b.batch_time)), h.time), same(`${what}: header digest`, headerDigest(h), b.header_digest);
  same(`${what}: mode, leader`, [net.mode, BigInt(b.view) % BigInt(net.members.length) + 1n], [b.mode, b.leader]); same(`${what}: batch digest`, batchDigest(b.batch_time, all.map(t => t.bytes + t.signature), b.change), h.batch);
  const did = execute(net.machine, seq, all.map(t => { const c = read(claim, t.bytes), name = `${what}: transaction ${t.id}`; same(`${name}: chain and id`, [net.chain, idOf(t.bytes)], [c.chain, t.id]);
    return mustHold(`${name}: signature`, c.sender, t.bytes, t.signature), { id: t.id, ...c }; }), net.parameters); did.outcomes.forEach((o, i) => same(`${what}: outcome of ${o.id}`, [statuses[o.status], o.code, o.seq, o.result],
    [all[i].status, all[i].code, all[i].seq, all[i].result])); same(`${what}: results root, state digest`, [did.results, did.state], [h.results, h.state]);
  certificate(`${what}: commit`, net, net.mode === 'crash' ? 10 : 3, b.certificate, (who, m) => same(who, [b.view, seq, h.batch], [m.view, m.seq, m.batch_digest]));
  if (b.attestations.length) certificate(`${what}: attestation`, net, 16, b.attestations, (who, m) =>
    Number(m.seq) < chain.length ? broken(who, `slot ${seq} or later`, m.seq) : net.attested.push({ who, ...m }), net.mode === 'crash' ? 1 : undefined);
  chain.push({ digest: b.header_digest, epoch: h.epoch, ended: h.next_epoch === zero ? '' : h.epoch, time: h.time, executed: did.outcomes.filter(o => o.status < 3).length });
}
async function checkNode(g, url) {
  const net = { ...begin(g), machine: newMachine(), attested: [] }, next = () => get(`${url}/epoch/${BigInt(net.number) + 1n}`);
  const first = { epoch: net.id, seq: 0, parent: zero, batch: zero, results: zero, state: zero, time: g.time, next_epoch: zero }; const chain = [{ digest: headerDigest(first), epoch: net.id, time: g.time, executed: 0 }];
  const enter = e => (same(`epoch ${e.number}: its base`, chain.at(-1).digest, headerDigest(e.header)), Object.assign(net, follow(net, e)));
  for (let b, e; (b = await get(`${url}/block/${chain.length}`)) !== undefined; checkBlock(net, chain, b)) while (b.header.epoch !== net.id) enter(await next() ?? broken(`block ${chain.length}: epoch`, net.id, b.header.epoch));
  for (let e; Number((e = await next())?.base) === chain.length - 1;) enter(e); // that has no block yet
  const known = net.attested.filter(a => chain[a.seq]); for (const a of known) same(`${a.who}: header ${a.seq}`, [chain[a.seq].epoch, chain[a.seq].digest], [a.epoch, a.header_digest]);
  return console.log(`${url}: ${chain.length - 1} blocks, attested through ${known.reduce((most, a) => Math.max(most, a.seq), 0)}`), chain;
}
const promises = { 1: ['view', 'seq'], 2: ['view', 'seq'], 3: ['view', 'seq'], 5: ['view'], 6: ['view'], 8: ['view'], 9: ['view', 'seq'], 10: ['view', 'seq'], 16: ['seq'] };
function checkEvidence(g, { evidence: all, epochs = [] }) { // two words of one member about one thing, of which a correct one says one
  const known = epochs.reduce((known, e) => [...known, follow(known.at(-1), e)], [begin(g)]); for (const e of all) {
    const [a, b] = [e.a, e.b].map(w => (mustHold(`evidence ${e.id}: signature`, e.key, w.signed, w.signature), read(messages[parseInt(w.signed.slice(154, 156), 16)], w.signed)));
    const net = known.find(k => k.id === a.epoch) ?? broken(`evidence ${e.id}: epoch`, known.map(k => k.id), a.epoch);
    for (const m of [a, b]) same(`evidence ${e.id}: member`, [net.chain, net.id, modes[net.mode], e.member, e.key], [m.chain, m.epoch, m.mode, m.author, net.members[m.author - 1]?.key]);
    const thing = m => [m.kind, ...promises[m.kind].map(name => m[name])], shown = b.prepared?.some(p => p.seq === a.seq && (p.view > BigInt(a.view) || p.view === a.view && p.batch_digest === a.batch_digest));
    if (a.kind === '3' && b.kind === '5') shown || BigInt(b.view) <= a.view || b.start >= BigInt(a.seq) ? broken(`evidence ${e.id}`, 'a slot that is concealed', 'none') : 0; // committed
    else same(`evidence ${e.id}: one thing`, thing(a), thing(b)), e.a.signed !== e.b.signed || broken(`evidence ${e.id}`, 'two words', 'one'); }
  return `${all.length} pieces of evidence against ${[...new Set(all.map(e => `member ${e.member}`))].join(', ') || 'nobody'}: all hold`;
}
async function checkAll(g, urls, longest = []) {
  for (const url of urls) { const chain = await checkNode(g, url).catch(e => fails(e instanceof Trouble ? e.code : 6, `${url}: ${e.message}`)); // nonsense is broken, too
    longest.slice(0, chain.length).forEach((b, i) => same(`${url}: header ${i}, beside the other nodes'`, b.digest, chain[i].digest)), longest = chain.length > longest.length ? chain : longest; }
  return `${urls.length} nodes, ${longest.length - 1} blocks, ${longest.reduce((n, b) => n + b.executed, 0)} transactions executed: all holds`;
}
const pick = (from, like) => JSON.stringify(Object.keys(like).sort().filter(k => k in from).map(k => [k, [from[k]].flat().map(String)])), story = newMachine(), verdict = f => { try { f(); } catch { return 'fails'; } return 'holds'; };
const signer = seed => createPrivateKey({ key: Buffer.from('302e020100300506032b657004220420' + seed, 'hex'), format: 'der', type: 'pkcs8' });
const signOf = (seed, signed) => hex(sign(null, Buffer.from(signed, 'hex'), signer(seed))), keyOf = seed => hex(createPublicKey(signer(seed)).export({ format: 'jwk' }).x, 'base64url');
const vectors = { // what must come of each input
  transactions: (i, b, sender = keyOf(i.sender_seed), signed = claim.put({ ...i, sender }), signature = signOf(i.sender_seed, signed)) =>
    ({ signed, signature, transaction: signed + signature, sender, id: idOf(signed), body_digest: bodyOf(signed + signature) }),
  batches: i => ({ batch: batch.put(i), digest: batchDigest(i.time, i.transactions) }), headers: i => ({ header: header.put(i), digest: headerDigest(i) }),
  results: ({ results: all }) => ({ root: root((all ?? []).length, top((all ?? []).map(leaf))), ...(all ?? []).map(outcome.put) }),
  state: i => ({ state: nextState(i.before, i.seq, i.writes.map(w => [w.key, w.delete ? undefined : w.value])) }),
  genesis: ({ genesis: g }) => ({ digest: genesisDigest(g), epoch: genesisDigest(g).repeat(2) + u64.put(0).repeat(2) + config.put(g) }), changes: i => ({ announces: announces({ ...begin(read(config, i.of), i.genesis), base: i.base }, i.at, i.change) }),
  epochs: (i, b) => { if (i.configuration) return { configuration: config.put(i.configuration), digest: configDigest(i.configuration) }; if (i.header) { // judged as what a node answers, and laid out as it is kept
      const votes = [...i.outgoing ?? [], ...i.incoming].map(v => ({ ...v, member: parseInt(v.signed.slice(156, 164), 16) })), e = { ...i.next, number: 1, identity: b.identity, chain: i.genesis, base: i.header.seq, quorum: needed(i.next) };
      const next = follow(begin(i.of, i.genesis), { ...e, header: i.header, hand_over: votes, recovery: i.recovery }), over = handOver.put(i);
      return { identity: next.id, hand_over: over, entered: next.chain + next.id + u64.put(next.number) + u64.put(next.base) + config.put(next) + '01' + over }; }
    const [name, of, signed] = i.change ? ['change', change, signedChange] : ['recovery', recovery, signedRecovery], encoded = of.put(i[name]);
    return { [name]: encoded, signed: signed(i[name]), id: H(`quorate/${name}/1`, signed(i[name])), ...i.change && { batch: batch.put({ time: i.time, change: encoded }), batch_digest: batchDigest(i.time, [], encoded) } }; },
  receipts: (i, b) => { const chain = i.headers.map(h => read(header, h)), said = i.attestations.map(a => read(messages[16], read(detached, a).signed));
    chain.slice(1).forEach((h, n) => same('parent', headerDigest(chain[n]), h.parent)), same('results', b.root, chain[0].results); said.forEach(a => same('attested', headerDigest(chain.find(h => h.seq === a.seq)), a.header_digest));
    const counted = all => u32.put(all.length) + all.join(''), file = [i.path, i.headers, i.attestations].map(counted); return { root: root(i.count, climb(H('quorate/merkle/leaf/1', b.leaf), Number(i.index), Number(i.count), i.path)),
      receipt: hex('quorate/receipt', 'ascii') + (i.hand_overs ? '02' + counted(i.hand_overs) : '01') + b.leaf + u32.put(i.index) + u32.put(i.count) + file.join('') }; },
  messages: (i, b) => { const m = read(messages[i.kind], b.signed), more = { ...m, ...attachments[i.kind] && read(attachments[i.kind], b.attached) };
    same('fields', pick(i, more), pick(more, i)), mustHold('signature', keyOf(i.author_seed), b.signed, b.signature); same('attached digest', m.attached_digest ?? '', m.attached_digest ? H('quorate/attached/1', b.attached) : '');
    return { wire: bytes.put(b.signed) + b.signature + bytes.put(b.attached) }; },
  execution: (i, b, all = i.transactions.map(t => t.slice(0, -128)), did = execute(story, i.seq, all.map(t => ({ ...read(claim, t), id: idOf(t) })), i.parameters)) =>
    ({ results: did.results, state: did.state, ...did.outcomes.map(outcome.put) }), // of a slot on top of those before it
  operations: i => ({ operation: struct({ kind: u8, ...fields[i.kind] }).put(i) }), signatures: i => ({ cofactorless: verdict(() => mustHold('', i.key, i.message, i.signature)) }),
  refused: ({ as, encoding: e }) => ({ verdict: verdict(() => read({ batch, message: messages[parseInt(e.slice(154, 156), 16)],
    transaction: struct({ claim, signature: d64 }), operation: struct({ kind: u8, ...fields[parseInt(e.slice(0, 2), 16)] }) }[as], e)) }),
};
function checkVectors(dir, n = 0) {
  for (const [name, compute] of Object.entries(vectors)) for (const v of JSON.parse(readFileSync(`${dir}/${name}.json`)))
    for (const [what, got] of Object.entries(compute(v.input, v.bytes))) same(`${name}: ${v.name}: ${what}`, v.bytes[what] ?? v.bytes[`leaf_${what}`], got), n++; return `${n} values in ${Object.keys(vectors).length} files: all holds`;
}
const parsed = file => JSON.parse(readFileSync(file)), can = { '--genesis': (file, ...urls) => checkAll(parsed(file), urls.length ? urls : parsed(file).members.map(m => `http://${m.api}`)),
  '--vectors': dir => checkVectors(dir), '--evidence': (file, of) => checkEvidence(parsed(of), parsed(file)) };
try { const [what, ...files] = process.argv.slice(2); console.log(await (can[what]?.length <= files.length ? can[what](...files) : fails(2, 'usage: check.mjs --genesis FILE [URL…] | --vectors DIR | --evidence FILE GENESIS')));
} catch (e) { console.error(`check: ${e instanceof Trouble ? e.message : e.stack}`), process.exit(e.code > 0 ? e.code : 1); }
