package node

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What docs/operations.md says of a node's own limits is what the node does.
// Red: change one of them, here or there.
func TestTheGuideNamesTheseLimits(t *testing.T) {
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| calls that wait for a commit | %s, of one address %s; one minute each at most |", thousands(maxWaiting), thousands(maxWaitingPerAddress)),
		fmt.Sprintf("| connections of clients | %s, of one address %s |", thousands(maxConnections), thousands(maxConnectionsPerAddress)),
		fmt.Sprintf("| calls that read blocks or state | %s at once, of one address %s |", thousands(maxReading), thousands(maxReadingPerAddress)),
		fmt.Sprintf("| listeners to events | %s, of one address %s |", thousands(maxListening), thousands(maxListeningPerAddress)),
		fmt.Sprintf("| memory of calls and their answers | %d MiB, of one address %d MiB |", maxCallBytes>>20, maxCallBytesPerAddress>>20),
		fmt.Sprintf("| memory of bodies over %d KiB | %d MiB, of one address %d MiB |", smallBody>>10, maxBodyMemory>>20, maxBodyMemoryPerAddress>>20),
		fmt.Sprintf("| descriptors kept from clients | %s, or half where there are few |", thousands(reservedDescriptors)),
		fmt.Sprintf("| answers of `/metrics` that are being read | %d, of one address %d |", maxScrapes, maxScrapesPerAddress),
		fmt.Sprintf("| transactions in hand of one `SubmitStream` | %d; silent for %.0f minutes at most |", maxStreamed, idleTimeout.Minutes()),
		fmt.Sprintf("| an answer that is not read | %.0f s without %d KiB of progress, then its connection is closed |", writeTimeout.Seconds(), writePiece>>10),
		fmt.Sprintf("| a request's header, body | %d KiB within %.0f s, %d KiB within %.0f s |",
			maxHeaderBytes>>10, headerTimeout.Seconds(), maxBodyBytes>>10, bodyTimeout.Seconds()),
		fmt.Sprintf("| free space | %d MiB: with less the node ends, or does not start |", reserveBytes>>20),
	} {
		if !strings.Contains(string(guide), "\n"+row+"\n") {
			t.Errorf("docs/operations.md does not say: %s", row)
		}
	}
}

// thousands is a number below a million as the guide writes it.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
