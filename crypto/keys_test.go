package crypto

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// testKey is a key that the same i always gives.
func testKey(i int) PrivateKey {
	return NewPrivateKey(Hash("quorate/test/key", fmt.Appendf(nil, "%d", i)))
}

// RFC 8032 §7.1, tests 1 to 3. Case D5: a Go release that signs otherwise turns this red.
func TestKeysAndSignaturesAreThoseOfTheStandard(t *testing.T) {
	for _, v := range []struct{ seed, public, message, signature string }{
		{
			"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
			"",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
		},
		{
			"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
			"72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		},
		{
			"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
			"af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
		},
	} {
		seed, _ := hex.DecodeString(v.seed)
		message, _ := hex.DecodeString(v.message)
		key := NewPrivateKey([SeedSize]byte(seed))
		if key.Public().String() != v.public {
			t.Errorf("public key of %s is %s, want %s", v.seed, key.Public(), v.public)
		}
		if key.Seed() != [SeedSize]byte(seed) {
			t.Errorf("the seed %s does not come back", v.seed)
		}
		sig := Ed25519().Sign(key, message)
		if sig.String() != v.signature {
			t.Errorf("signature by %s is %s, want %s", v.seed, sig, v.signature)
		}
		if !Ed25519().Verify(Claim{key.Public(), message, sig}) {
			t.Errorf("signature by %s does not hold", v.seed)
		}
	}
}

func TestAPrivateKeyIsNeverPrinted(t *testing.T) {
	key := testKey(1)
	seed := key.Seed()
	type holder struct{ key PrivateKey }
	printed := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		printed[verb] = fmt.Sprintf(verb, key)
		printed[verb+" inside"] = fmt.Sprintf(verb, &holder{key})
		printed[verb+" in a list"] = fmt.Sprintf(verb, []PrivateKey{key})
	}
	asJSON, _ := json.Marshal([]any{key})
	printed["JSON"] = string(asJSON)
	for name, text := range printed {
		decimal := strings.Trim(fmt.Sprint(seed[:8]), "[]")
		var source []string
		for _, b := range seed[:8] {
			source = append(source, fmt.Sprintf("0x%x", b))
		}
		for _, secret := range []string{hex.EncodeToString(seed[:8]), decimal, strings.Join(source, ", ")} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the seed: %s", name, text)
			}
		}
	}
}
