package scenario

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A report is looked at with a real browser: `make browser`. Pictures of it are left in QUORATE_SCREENSHOTS.
func TestBrowserShowsTheReport(t *testing.T) {
	if os.Getenv("QUORATE_BROWSER") == "" {
		t.Skip("make browser")
	}
	shots := os.Getenv("QUORATE_SCREENSHOTS")
	if shots != "" {
		if err := os.MkdirAll(shots, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-component-update", true))
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	browser, cancel := chromedp.NewContext(allocator)
	defer cancel()
	for name, r := range map[string]*Run{"story": story(), "stale": stale(), "long": long(), "empty": {Script: "nothing.star", World: "sim", Verdict: NotTested, Why: "nothing was expected"}} {
		dir := t.TempDir()
		started := time.Now()
		if err := r.WriteReport(dir, nil); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s is written in %v", name, time.Since(started))
		for _, size := range []struct{ width, height int64 }{{1280, 900}, {390, 844}} {
			for _, scheme := range []string{"light", "dark"} {
				title := fmt.Sprintf("%s-%d-%s", name, size.width, scheme)
				t.Run(title, func(t *testing.T) {
					look(t, browser, filepath.Join(dir, reportPage), size.width, size.height, scheme, r, shotPath(shots, title))
				})
			}
		}
		if r.History != nil {
			t.Run(name+"-picture", func(t *testing.T) {
				lookAtPicture(t, browser, filepath.Join(dir, pictureFile), r.Violation != nil, shotPath(shots, name+"-picture"))
			})
		}
	}
}

func shotPath(folder, title string) string {
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, title+".png")
}

// open shows a page in a new tab, and gives what it has complained of.
func open(t *testing.T, browser context.Context, path string, width, height int64, scheme string) (context.Context, func() []string) {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	tab, cancel = context.WithTimeout(tab, time.Minute)
	t.Cleanup(cancel)
	var lock sync.Mutex
	var complaints []string
	err := chromedp.Listen(tab, func(event any) {
		lock.Lock()
		defer lock.Unlock()
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, fmt.Sprintf("console: %s, %d words", e.Type, len(e.Args)))
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, fmt.Sprintf("exception: %+v", e.ExceptionDetails))
		case *log.EventEntryAdded:
			complaints = append(complaints, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	page := (&url.URL{Scheme: "file", Path: path}).String()
	if err := chromedp.Do(tab, chromedp.EmulateViewport(width, height), chromedp.Navigate(page)); err != nil {
		t.Fatal(err)
	}
	return tab, func() []string {
		lock.Lock()
		defer lock.Unlock()
		return complaints
	}
}

// measured is what there is on a page.
type measured struct {
	Scroll  int64  `json:"scroll"`
	Inner   int64  `json:"inner"`
	Verdict string `json:"verdict"`
	Lanes   int    `json:"lanes"`
	Leads   int    `json:"leads"`
	Faults  int    `json:"faults"`
	Hollow  int    `json:"hollow"` // with a length that is none
}

const measure = `(() => {
	const visible = (selector) => [...document.querySelectorAll(selector)].filter((e) => {
		const b = e.getBoundingClientRect()
		return b.width > 0 && b.height > 0
	}).length
	return {
		scroll: document.body.scrollWidth, inner: window.innerWidth, verdict: document.querySelector("h1").textContent,
		lanes: visible(".plot .state"), leads: visible(".plot .leads"), faults: visible(".plot .fault"),
		hollow: [...document.querySelectorAll("svg rect")].filter((e) => ["x", "y", "width", "height"].some((a) => !(e[a].baseVal.value >= 0))).length,
	}
})()`

func look(t *testing.T, browser context.Context, path string, width, height int64, scheme string, r *Run, shot string) {
	tab, complaints := open(t, browser, path, width, height, scheme)
	m, err := chromedp.Run(tab, chromedp.Evaluate[measured](measure))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	keep(t, shot, picture)
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(said, "\n"))
	}
	if m.Scroll > m.Inner || m.Inner != width {
		t.Errorf("the page is %d wide in a window of %d", m.Scroll, m.Inner)
	}
	if !strings.EqualFold(m.Verdict, string(r.Verdict)) {
		t.Errorf("the verdict is %q", m.Verdict)
	}
	if len(r.Samples) > 0 && (m.Lanes < r.Nodes || m.Leads == 0) || m.Faults != len(r.Faults) || m.Hollow > 0 {
		t.Errorf("%+v", m)
	}
}

func lookAtPicture(t *testing.T, browser context.Context, path string, violated bool, shot string) {
	tab, complaints := open(t, browser, path, 1280, 900, "light")
	boxes, err := chromedp.Run(tab, chromedp.Evaluate[int](`document.querySelectorAll(".history-rect").length`))
	if err != nil {
		t.Fatal(err)
	}
	broken, err := chromedp.Run(tab, chromedp.Evaluate[bool](`(() => {
		const shown = [...document.querySelectorAll(".linearization-invalid.linearization-point")].filter((e) => e.checkVisibility())
		shown[0]?.scrollIntoView({block: "center", inline: "center"})
		return shown.length > 0
	})()`))
	if err != nil || broken != violated {
		t.Fatalf("that no order was found is shown: %v, %v", broken, err)
	}
	picture, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	keep(t, shot, picture)
	if said := complaints(); len(said) > 0 || boxes == 0 {
		t.Errorf("%d calls; the browser complains:\n%s", boxes, strings.Join(said, "\n"))
	}
}

func keep(t *testing.T, path string, picture []byte) {
	if path == "" {
		return
	}
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
