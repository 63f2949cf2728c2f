package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnUnknownKeyIsRefusedWithItsPlaceAndTheKeyThatWasMeant(t *testing.T) {
	for text, want := range map[string]string{
		"genesis = \"g\"\np2p_lisen = \"x\"\n": "config.toml:2:1: unknown key p2p_lisen: did you mean p2p_listen?",
		"Log-Level = \"info\"\n":               "config.toml:1:1: unknown key Log-Level: did you mean log_level?",
		"pruning = true\n":                     "config.toml:1:1: unknown key pruning: there are genesis, p2p_listen, api_listen, log_level, log_format",
		"[p2p]\nlisten = \"x\"\n":              "unknown key p2p",
		"log_level = 7\n":                      "config.toml:1:13: ",
		"log_level = \"info\"\nlog_level = 1":  "config.toml:2:",
		"genesis = \"g":                        "config.toml:1:",
	} {
		h := Home(t.TempDir())
		if err := os.Mkdir(h.Config(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.SettingsFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Settings(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestWhatTheSettingsFileLeavesOutIsTheDefault(t *testing.T) {
	h := Home(t.TempDir())
	if err := os.Mkdir(h.Config(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.SettingsFile(), []byte("log_format = \"json\"\napi_listen = \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	s, err := h.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.LogLevel != "info" || s.LogFormat != "json" || s.APIListen != "" || s.Genesis != filepath.Join(h.Config(), "genesis.json") {
		t.Errorf("%+v", s)
	}
	if !s.Says("log_format") || s.Says("api_listen") || s.Says("log_level") || s.Says("genesis") {
		t.Error("it does not say what the file says")
	}
}
