package fault

import (
	"bufio"
	"encoding/json"
	"errors"
	"time"
)

// Ask has the node that runs in a home carry out a request, before a deadline. What the node says against it is the error.
func Ask(home string, r Request, deadline time.Time) (Answer, error) {
	c, err := dial(home, deadline)
	if err != nil {
		return Answer{}, err
	}
	defer c.Close()
	if err := c.SetDeadline(deadline); err != nil {
		return Answer{}, err
	}
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return Answer{}, err
	}
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	if err := json.Unmarshal(line, &a); err != nil {
		return Answer{}, err
	}
	if a.Error != "" {
		return Answer{}, errors.New(a.Error)
	}
	return a, nil
}
