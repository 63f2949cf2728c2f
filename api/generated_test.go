package api

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// To see it fail, change a comment in the .proto without running ./generate.
func TestWhatIsGeneratedIsFromThisProto(t *testing.T) {
	const proto = "quorate/v1/service.proto"
	definition, err := os.ReadFile(proto)
	if err != nil {
		t.Fatal(err)
	}
	noted, err := os.ReadFile(proto + ".sha256")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(definition)
	want, _, _ := strings.Cut(string(noted), " ")
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("%s is newer than what is generated from it: run go generate ./api", proto)
	}
}
