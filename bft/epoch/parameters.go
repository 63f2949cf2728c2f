package epoch

import (
	"fmt"
	"strconv"
	"strings"
)

// Parameters are what all members of an epoch must agree on. A knob that is not here is local, and has a reason.
type Parameters struct {
	Window     uint32 `json:"window"`     // L: slots above the stable checkpoint that may be open
	Checkpoint uint32 `json:"checkpoint"` // K: a checkpoint every K slots
	Pipeline   uint32 `json:"pipeline"`   // D: slots that a leader keeps in flight
	Burst      uint32 `json:"burst"`      // D_max: and while full batches wait

	BatchRequests uint32 `json:"batch_requests"` // transactions in a batch
	BatchBytes    uint32 `json:"batch_bytes"`    // their bytes
	RequestBytes  uint32 `json:"request_bytes"`  // bytes of one transaction, signature included

	WriteSetBytes     uint32 `json:"write_set_bytes"`     // what one batch may write
	RequestWriteKeys  uint32 `json:"request_write_keys"`  // keys that one transaction may write
	RequestWriteBytes uint32 `json:"request_write_bytes"` // bytes that one transaction may write
	NonceWindow       uint32 `json:"nonce_window"`        // nonces remembered per sender, and how far ahead one may be
	LastAhead         uint32 `json:"last_ahead"`          // how many slots ahead of now a transaction's last may lie
}

// DefaultParameters are those of a network whose genesis says nothing else.
func DefaultParameters() Parameters {
	return Parameters{
		Window:            256,
		Checkpoint:        64,
		Pipeline:          4,
		Burst:             16,
		BatchRequests:     2000,
		BatchBytes:        1 << 20,
		RequestBytes:      64 << 10,
		WriteSetBytes:     4 << 20,
		RequestWriteKeys:  64,
		RequestWriteBytes: 64 << 10,
		NonceWindow:       1024,
		LastAhead:         1 << 20,
	}
}

// Field is one parameter by its name in files, with its bounds.
type Field struct {
	Name     string
	Value    *uint32
	Min, Max uint32
}

// Fields lists the parameters in the order of their encoding.
func (p *Parameters) Fields() []Field {
	return []Field{
		{"window", &p.Window, 8, 4096},
		{"checkpoint", &p.Checkpoint, 2, 1024},
		{"pipeline", &p.Pipeline, 1, 64},
		{"burst", &p.Burst, 1, 64},
		{"batch_requests", &p.BatchRequests, 1, 2_000},
		{"batch_bytes", &p.BatchBytes, 1 << 10, 2 << 20},
		{"request_bytes", &p.RequestBytes, 256, 256 << 10},
		{"write_set_bytes", &p.WriteSetBytes, 1 << 10, 4 << 20},
		{"request_write_keys", &p.RequestWriteKeys, 1, 1024},
		{"request_write_bytes", &p.RequestWriteBytes, 1 << 10, 512 << 10},
		{"nonce_window", &p.NonceWindow, 16, 1024},
		{"last_ahead", &p.LastAhead, 1 << 10, 1 << 24},
	}
}

// Set sets the parameter that NAME=VALUE names, if the value is within its bounds.
func (p *Parameters) Set(assignment string) error {
	name, text, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("parameter %q: want NAME=VALUE", assignment)
	}
	var names []string
	for _, f := range p.Fields() {
		if f.Name == name {
			v, err := strconv.ParseUint(text, 10, 32)
			if err != nil || uint32(v) < f.Min || uint32(v) > f.Max {
				return fmt.Errorf("parameter %s: %q, want %d to %d", name, text, f.Min, f.Max)
			}
			*f.Value = uint32(v)
			return nil
		}
		names = append(names, f.Name)
	}
	return fmt.Errorf("no parameter %q: there are %s", name, strings.Join(names, ", "))
}

// Validate says which parameter is out of bounds, or which two do not go together.
func (p Parameters) Validate() error {
	for _, f := range p.Fields() {
		if *f.Value < f.Min || *f.Value > f.Max {
			return fmt.Errorf("parameters: %s: %d, want %d to %d", f.Name, *f.Value, f.Min, f.Max)
		}
	}
	switch {
	case p.Burst < p.Pipeline:
		return fmt.Errorf("parameters: burst: %d is below pipeline, %d", p.Burst, p.Pipeline)
	case p.Window < 2*p.Checkpoint+p.Burst:
		// A leader must be able to go on while the newest checkpoint is still gathering its quorum.
		return fmt.Errorf("parameters: window: %d, want at least 2*checkpoint+burst, %d", p.Window, 2*p.Checkpoint+p.Burst)
	case p.RequestBytes > p.BatchBytes:
		return fmt.Errorf("parameters: request_bytes: %d does not fit into batch_bytes, %d", p.RequestBytes, p.BatchBytes)
	case p.RequestWriteBytes > p.WriteSetBytes:
		return fmt.Errorf("parameters: request_write_bytes: %d does not fit into write_set_bytes, %d", p.RequestWriteBytes, p.WriteSetBytes)
	}
	return nil
}
