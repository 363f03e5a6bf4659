// health tells how GitOps engines read an object: Flux by its kstatus library, Argo CD by a health.lua that it runs in
// the interpreter, and with the libraries, that this program runs it in too.
//
//	health kstatus < objects     health argo FILE < objects
//
// Objects are JSON, one after the other; each is answered by a line {"status": …, "message": …}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type reader func(*unstructured.Unstructured) (health, error)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	read, err := readerOf(args)
	if err != nil {
		return err
	}
	objects, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var raw json.RawMessage
		if err := objects.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		// It reads whole numbers as such, as the engines do.
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return err
		}
		found, err := read(object)
		if err != nil {
			return err
		}
		if err := answers.Encode(found); err != nil {
			return err
		}
	}
}

func readerOf(args []string) (reader, error) {
	switch {
	case len(args) == 1 && args[0] == "kstatus":
		return kstatus, nil
	case len(args) == 2 && args[0] == "argo":
		script, err := os.ReadFile(args[1])
		return func(object *unstructured.Unstructured) (health, error) { return argo(string(script), object) }, err
	}
	return nil, errors.New("usage: health kstatus | health argo FILE")
}

func kstatus(object *unstructured.Unstructured) (health, error) {
	found, err := status.Compute(object)
	if err != nil {
		return health{}, err
	}
	return health{found.Status.String(), found.Message}, nil
}

// What Argo CD takes for a status.
var argoStatuses = map[string]bool{
	"Healthy": true, "Progressing": true, "Degraded": true, "Suspended": true, "Missing": true, "Unknown": true,
}

func argo(script string, object *unstructured.Unstructured) (health, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable}
	for name, open := range libraries {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	// Argo CD gives a script as long.
	within, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(within)
	state.SetGlobal("obj", luaValue(state, object.Object))
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, errors.New("the script returns no table")
	}
	found := health{answer.RawGetString("status").String(), answer.RawGetString("message").String()}
	if !argoStatuses[found.Status] {
		return health{}, fmt.Errorf("Argo CD knows no status %q", found.Status)
	}
	return found, nil
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		list := state.NewTable()
		for _, element := range value {
			list.Append(luaValue(state, element))
		}
		return list
	case map[string]any:
		table := state.NewTable()
		for name, member := range value {
			table.RawSetString(name, luaValue(state, member))
		}
		return table
	}
	return lua.LNil
}
