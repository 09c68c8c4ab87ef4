//! CEL: compiling expressions and rules, and the server's words for errors and messages.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use kube::core::cel::KubeCelExt as _;
use kube::core::cel::cel::extractors::This;
use kube::core::cel::cel::{Context, ExecutionError, FunctionContext, Program, Value as Cel};
use regex::Regex;
use serde_json::Value;

use crate::field_error::FieldErrorKind;
use crate::schema::error::SchemaError;
use crate::schema::keywords::flag;
use crate::schema::node::as_go_reads;

/// The server's limit for the message of a rule, in bytes.
pub(crate) const MESSAGE_BYTES: usize = 5 * 1024;

thread_local! {
    /// The functions of Kubernetes' CEL, registered once per thread: registering them takes a hundred insertions, too
    /// many for every object.
    static FUNCTIONS: Context<'static> = {
        let mut context = Context::default().with_all();
        context.add_function("matches", matches);
        context.add_function("size", size);
        context
    };
    /// The patterns of `matches`, compiled: the interpreter's own function compiles its pattern at every call.
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// Patterns are constants almost always. Those made from values must not pile up.
const PATTERNS_KEPT: usize = 256;

#[allow(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]
fn matches(
    context: &FunctionContext<'_, '_>,
    This(text): This<Arc<String>>,
    pattern: Arc<String>,
) -> Result<bool, ExecutionError> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(regex) = patterns.get(pattern.as_str()) {
            return Ok(regex.is_match(&text));
        }
        let regex = Regex::new(&as_go_reads(&pattern)).map_err(|error| context.error(error.to_string()))?;
        if patterns.len() == PATTERNS_KEPT {
            patterns.clear();
        }
        Ok(patterns.entry(pattern.as_str().to_owned()).or_insert(regex).is_match(&text))
    })
}

/// The size of a string is its number of characters; the interpreter's own function counts bytes.
#[allow(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]
fn size(context: &FunctionContext<'_, '_>, This(value): This<Cel>) -> Result<i64, ExecutionError> {
    let size = match &value {
        Cel::List(list) => list.len(),
        Cel::Map(map) => map.map.len(),
        Cel::String(text) => text.chars().count(),
        Cel::Bytes(bytes) => bytes.len(),
        other => return Err(context.error(format!("cannot determine the size of {other:?}"))),
    };
    Ok(i64::try_from(size).unwrap_or(i64::MAX))
}

/// Runs `body` in a new scope that has all functions.
pub(crate) fn with_scope<T>(body: impl FnOnce(&mut Context<'_>) -> T) -> T {
    FUNCTIONS.with(|functions| body(&mut functions.new_inner_scope()))
}

/// Compiles an expression. `place` is its path, for errors.
pub(crate) fn compile(expression: &str, place: &str) -> Result<Program, SchemaError> {
    Program::compile(expression).map_err(|source| SchemaError::Expression {
        place: place.to_owned(),
        expression: expression.to_owned(),
        source: Box::new(source),
    })
}

/// One entry of `x-kubernetes-validations`.
pub(crate) struct Rule {
    pub expression: String,
    pub uses_old: bool,
    pub program: Program,
    pub message: Option<String>,
    pub message_program: Option<Program>,
    pub reason: FieldErrorKind,
    pub field_path: Option<String>,
    pub optional_old: bool,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rule").field("expression", &self.expression).finish_non_exhaustive()
    }
}

impl Rule {
    pub(crate) fn compile(rule: &Value, place: &str) -> Result<Self, SchemaError> {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let expression = text("rule").unwrap_or_default();
        let program = compile(expression, place)?;
        let message_program = text("messageExpression").map(|it| compile(it, place)).transpose()?;
        let uses = |program: &Program| program.references().has_variable("oldSelf");
        Ok(Self {
            uses_old: uses(&program) || message_program.as_ref().is_some_and(uses),
            expression: expression.to_owned(),
            program,
            message: text("message").map(|text| text.trim().to_owned()),
            message_program,
            reason: match text("reason") {
                Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
                Some("FieldValueRequired") => FieldErrorKind::Required,
                Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
                _ => FieldErrorKind::Invalid,
            },
            field_path: text("fieldPath").map(normalize_field_path),
            optional_old: flag(rule, "optionalOldSelf"),
        })
    }
}

/// An execution error, where known in the words of the server's CEL.
pub(crate) fn explain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::NoSuchOverload => "no such overload".to_owned(),
        ExecutionError::IndexOutOfBounds(index) => format!("index out of bounds: {index:?}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::FunctionError { function, .. } if function == "duration" => {
            "type conversion error from 'string' to 'google.protobuf.Duration'".to_owned()
        }
        other => other.to_string(),
    }
}

/// The result of a message expression. `None` if the server would not use it.
pub(crate) fn message(program: &Program, scope: &Context<'_>) -> Option<String> {
    let Ok(Cel::String(text)) = program.execute(scope) else { return None };
    let text = text.trim();
    let usable = !text.is_empty() && text.len() <= MESSAGE_BYTES && !text.contains('\n');
    usable.then(|| text.to_owned())
}

/// Normalizes `.a.b` and `['a'].b` to `a.b`.
fn normalize_field_path(path: &str) -> String {
    path.replace("['", ".").replace("']", "").trim_start_matches('.').to_owned()
}
