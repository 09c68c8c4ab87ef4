// Command health says how healthy objects are, as three tools see them: kstatus (kubectl's and Helm 4's library),
// Argo CD by Lua scripts, and Flux by CEL expressions. One JSON document in, one out; nothing is asked of a cluster.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// question is what is read. Lua and CEL are the contents of the published files, as they are.
type question struct {
	Objects []json.RawMessage `json:"objects"`
	// The data of Argo CD's ConfigMap: "resource.customizations.health.<group>_<kind>" and the script.
	Lua map[string]string `json:"lua"`
	// spec.healthCheckExprs of a Flux Kustomization.
	CEL []kustomize.CustomHealthCheck `json:"cel"`
}

// answer is what one tool says of one object.
type answer struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// verdict is what all say of one object, in the order of the objects.
type verdict struct {
	Kstatus answer `json:"kstatus"`
	Argo    answer `json:"argo"`
	Flux    answer `json:"flux"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return fmt.Errorf("the question is not JSON: %w", err)
	}
	evaluators := map[string]*cel.StatusEvaluator{}
	for _, check := range asked.CEL {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return fmt.Errorf("healthCheckExprs of %s: %w", check.Kind, err)
		}
		evaluators[check.APIVersion+" "+check.Kind] = evaluator
	}
	verdicts := []verdict{}
	for _, text := range asked.Objects {
		// As every client of a cluster reads: whole numbers stay whole, which both evaluators look at.
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			return fmt.Errorf("an object: %w", err)
		}
		said, err := judge(object, asked.Lua, evaluators[object.GetAPIVersion()+" "+object.GetKind()])
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		verdicts = append(verdicts, said)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func judge(object *unstructured.Unstructured, scripts map[string]string, evaluator *cel.StatusEvaluator) (verdict, error) {
	computed, err := status.Compute(object)
	if err != nil {
		return verdict{}, fmt.Errorf("kstatus: %w", err)
	}
	said := verdict{Kstatus: answer{string(computed.Status), computed.Message}}
	kind := object.GroupVersionKind()
	said.Argo, err = argo(object, scripts["resource.customizations.health."+kind.Group+"_"+kind.Kind])
	if err != nil {
		return verdict{}, fmt.Errorf("Lua: %w", err)
	}
	// Without an expression for the kind, Flux asks kstatus.
	said.Flux = said.Kstatus
	if evaluator != nil {
		result, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			return verdict{}, fmt.Errorf("CEL: %w", err)
		}
		said.Flux = answer{string(result.Status), result.Message}
	}
	return said, nil
}

// argo is what Argo CD makes of an object: first its own word on deletion, then the script. The script sees what it
// sees there: `obj`, the base and table libraries, and a second of time. Without a script an object has no health,
// which a sync takes for healthy.
func argo(object *unstructured.Unstructured, script string) (answer, error) {
	if object.GetDeletionTimestamp() != nil {
		return answer{"Progressing", "Pending deletion"}, nil
	}
	if script == "" {
		return answer{}, nil
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return answer{}, err
		}
	}
	limited, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return answer{}, err
	}
	returned := state.Get(-1)
	if returned.Type() != lua.LTTable {
		return answer{}, fmt.Errorf("a table was expected, not %s", returned.Type())
	}
	text, err := luajson.Encode(returned)
	if err != nil {
		return answer{}, err
	}
	var said answer
	if err := json.Unmarshal(text, &said); err != nil {
		return answer{}, err
	}
	switch said.Status {
	case "Healthy", "Progressing", "Suspended", "Degraded", "Missing", "Unknown":
		return said, nil
	}
	return answer{}, fmt.Errorf("%q is no health of Argo CD", said.Status)
}

// toLua converts as Argo CD does, which differs from the JSON library in the whole numbers.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		list := state.CreateTable(len(value), 0)
		for _, item := range value {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetH(lua.LString(key), toLua(state, item))
		}
		return table
	}
	return lua.LNil
}
