package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

// A log is a folder of segments, numbered from 1. A segment is a file of one size all its life: a head in the first sector, then
// groups, each beginning on a sector, then zeros. Nothing durable is ever written again, so no later write can tear it.
//
//	group = copy ‖ bulk ‖ copy
//	copy  = head ‖ table ‖ the records that are not Once, padded with zeros to whole sectors
//	bulk  = the records that are Once, padded with zeros to whole sectors; nothing if there are none
//	table = for each record in order: length (4), its highest bit set if the record is Once; CRC-32C (4); both of kind ‖ payload
//
// What nobody else can supply is so written twice, and no byte lies in the sector of its twin: damage to one sector leaves one good
// copy, from which Open mends the other. The copies differ in one byte of their heads, which says which they are, and in the check.
//
// Every sector of a group but those with heads begins with the byte continuation, which belongs to no record. So no payload, whoever
// made it, can look like the head of a group: the search for groups, and for the second copy of a bad first, trusts what it finds.
//
// Checks are SHA-256, cut to 16 bytes. A group's check covers its first head; the head holds a digest of the table; the table holds
// the records' checksums; and the next group's head holds this check. Heads hold their own place in the log: a write that went
// astray does not pass for one that belongs there.
const (
	sector       = 512
	formatNow    = 3 // version of segment and group
	continuation = 'c'

	groupHeadSize   = 112
	segmentHeadSize = 112
	entrySize       = 8 // of a table
	onceBit         = 1 << 31

	flagRestart = 1 << 0 // replay of facts begins with this group
	flagClosed  = 1 << 1 // the log was closed in good order: no records
	flagsKnown  = flagRestart | flagClosed
)

var (
	segmentMagic = []byte("QSEG")
	groupMagic   = []byte("QGRP")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

// sum16 is a SHA-256 cut to 128 bits: against accidents, not against someone who can write to the disk.
type sum16 [16]byte

func sum(b []byte) sum16 {
	d := sha256.Sum256(b)
	return sum16(d[:16])
}

// identify is what all segments of a log have in common: a digest of its birth record.
func identify(birth Record) sum16 {
	h := sha256.New()
	h.Write([]byte("quorate log\x00"))
	h.Write([]byte{birth.Kind})
	h.Write(birth.Payload)
	return sum16(h.Sum(nil)[:16])
}

// segmentHead is the first sector of a segment. It is durable before the segment has its name.
type segmentHead struct {
	number   uint32
	size     int64    // of the file, in bytes
	first    uint64   // number of the first group in here
	synced   uint64   // newest group that was durable when the segment got its name
	restart  uint64   // newest group before first from which replay starts, or 0
	file     Identity // the segment's own: a copy of it is found out by this
	identity sum16
	prev     sum16 // check of the group before first
}

// encode fills dst, of segmentHeadSize bytes. The first 12 bytes are the same in every version to come: magic, version, and a
// checksum of the two, so that another version is not mistaken for damage, nor damage for another version.
func (h *segmentHead) encode(dst []byte) {
	copy(dst, segmentMagic)
	binary.BigEndian.PutUint32(dst[4:], formatNow)
	binary.BigEndian.PutUint32(dst[8:], crc32.Checksum(dst[:8], castagnoli))
	binary.BigEndian.PutUint32(dst[12:], h.number)
	binary.BigEndian.PutUint64(dst[16:], uint64(h.size))
	binary.BigEndian.PutUint64(dst[24:], h.first)
	binary.BigEndian.PutUint64(dst[32:], h.synced)
	binary.BigEndian.PutUint64(dst[40:], h.restart)
	binary.BigEndian.PutUint64(dst[48:], h.file.Inode)
	binary.BigEndian.PutUint64(dst[56:], uint64(h.file.Born))
	copy(dst[64:], h.identity[:])
	copy(dst[80:], h.prev[:])
	check := sum(dst[:96])
	copy(dst[96:], check[:])
}

// decodeSegmentHead reads what encode wrote. The version is 0 if even that cannot be read, and ok says that all of a head of
// version formatNow is as it was written.
func decodeSegmentHead(b []byte) (h segmentHead, version uint32, ok bool) {
	if !bytes.Equal(b[:4], segmentMagic) || binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return h, 0, false
	}
	version = binary.BigEndian.Uint32(b[4:])
	if version != formatNow || sum(b[:96]) != sum16(b[96:112]) {
		return h, version, false
	}
	return segmentHead{
		number:   binary.BigEndian.Uint32(b[12:]),
		size:     int64(binary.BigEndian.Uint64(b[16:])),
		first:    binary.BigEndian.Uint64(b[24:]),
		synced:   binary.BigEndian.Uint64(b[32:]),
		restart:  binary.BigEndian.Uint64(b[40:]),
		file:     Identity{Inode: binary.BigEndian.Uint64(b[48:]), Born: int64(binary.BigEndian.Uint64(b[56:]))},
		identity: sum16(b[64:80]),
		prev:     sum16(b[80:96]),
	}, version, true
}

// groupHead begins a group.
type groupHead struct {
	version  byte
	flags    byte
	second   bool // this is the head of the second copy
	segment  uint32
	sector   uint32 // of the segment, where the group begins
	records  uint32
	body     uint32 // bytes of table and records that are not Once
	bulk     uint32 // bytes of records that are Once
	number   uint64 // from 1, without gaps through all segments
	synced   uint64 // newest group known to be durable when this one was written
	identity sum16
	table    sum16 // digest of the table
	prev     sum16 // check of the group before
	check    sum16 // of all this in the first copy; set by encode and decode
}

// copySize and bulkSize are in bytes of the file; bulk lies between the copies.
func (h *groupHead) copySize() int64 { return copySize(int64(h.body)) }
func (h *groupHead) bulkSize() int64 { return bulkSize(int64(h.bulk)) }
func (h *groupHead) size() int64     { return 2*h.copySize() + h.bulkSize() }

// begins is where in the segment the group begins, as the head says.
func (h *groupHead) begins() int64 { return int64(h.sector) * sector }

func (h *groupHead) encode(dst []byte) {
	copy(dst, groupMagic)
	dst[4], dst[5], dst[6], dst[7] = h.version, h.flags, 0, 0
	binary.BigEndian.PutUint32(dst[8:], h.segment)
	binary.BigEndian.PutUint32(dst[12:], h.sector)
	binary.BigEndian.PutUint32(dst[16:], h.records)
	binary.BigEndian.PutUint32(dst[20:], h.body)
	binary.BigEndian.PutUint64(dst[24:], h.number)
	binary.BigEndian.PutUint64(dst[32:], h.synced)
	binary.BigEndian.PutUint32(dst[40:], h.bulk)
	clear(dst[44:48])
	copy(dst[48:], h.identity[:])
	copy(dst[64:], h.table[:])
	copy(dst[80:], h.prev[:])
	h.check = sum(dst[:96])
	copy(dst[96:], h.check[:])
	if h.second {
		makeSecond(dst)
	}
}

// makeSecond turns the head of a first copy into that of the second.
func makeSecond(head []byte) {
	head[6] = 1
	check := sum(head[:96])
	copy(head[96:], check[:])
}

// decodeGroupHead says ok if the bytes are those of a head as it was written, of whatever version.
func decodeGroupHead(b []byte) (h groupHead, ok bool) {
	if !bytes.Equal(b[:4], groupMagic) {
		return h, false
	}
	h.check = sum16(b[96:112])
	if sum(b[:96]) != h.check {
		return h, false
	}
	h.version, h.flags, h.second = b[4], b[5], b[6] == 1
	if h.second {
		first := [96]byte(b)
		first[6] = 0
		h.check = sum(first[:])
	}
	h.segment = binary.BigEndian.Uint32(b[8:])
	h.sector = binary.BigEndian.Uint32(b[12:])
	h.records = binary.BigEndian.Uint32(b[16:])
	h.body = binary.BigEndian.Uint32(b[20:])
	h.bulk = binary.BigEndian.Uint32(b[40:])
	h.number = binary.BigEndian.Uint64(b[24:])
	h.synced = binary.BigEndian.Uint64(b[32:])
	h.identity = sum16(b[48:64])
	h.table = sum16(b[64:80])
	h.prev = sum16(b[80:96])
	return h, true
}

// frame appends body bytes to buf, which begins on a sector, with the mark of a continuation wherever a sector begins.
func frame(buf, body []byte) []byte {
	for len(body) > 0 {
		if len(buf)%sector == 0 {
			buf = append(buf, continuation)
		}
		n := min(sector-len(buf)%sector, len(body))
		buf = append(buf, body[:n]...)
		body = body[n:]
	}
	return buf
}

// framedFrom is where in a file the body byte lies that would be written next at off.
func framedFrom(off int64) int64 {
	if off%sector == 0 {
		return off + 1
	}
	return off
}

// framedLen is how many bytes of the file hold n bytes of a body that begin at off, which is not the beginning of a sector.
func framedLen(off, n int64) int64 {
	here := sector - off%sector
	if n <= here {
		return n
	}
	return n + (n-here+sector-2)/(sector-1)
}

// unframe takes the marks out of raw, which lies at off in its file, in place. What they are it does not mind: checksums tell.
func unframe(raw []byte, off int64) []byte {
	here := min(int64(len(raw)), sector-off%sector)
	body, rest := raw[:here], raw[here:]
	for len(rest) > 0 {
		n := min(len(rest), sector)
		body = append(body, rest[1:n]...) // moves towards the front: what is overwritten has been read
		rest = rest[n:]
	}
	return body
}

// copySize is how many bytes of a segment one copy with n bytes of table and records takes.
func copySize(n int64) int64 { return roundUp(groupHeadSize + framedLen(groupHeadSize, n)) }

// bulkSize is how many bytes of a segment n bytes of records that are Once take.
func bulkSize(n int64) int64 {
	if n == 0 {
		return 0
	}
	return roundUp(1 + framedLen(1, n))
}

func roundUp(n int64) int64 { return (n + sector - 1) / sector * sector }
