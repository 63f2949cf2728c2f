package scenario

import (
	"strconv"
	"time"
)

// seconds writes a time as people say it, to the millisecond.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}
