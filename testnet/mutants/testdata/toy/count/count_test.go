package count

import "testing"

func TestNextComesAfter(t *testing.T) {
	if Next(1) <= 1 {
		t.Fatalf("Next(1) = %d", Next(1))
	}
}

func TestNextCountsByOne(t *testing.T) {
	if Next(1) != 2 {
		t.Fatalf("Next(1) = %d", Next(1))
	}
}
