//! The JSON Schema of a run, made from the same shapes as the OpenAPI description: whoever reads `run.json`
//! with another program need not read ours.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::wire::Run;

/// Where OpenAPI keeps its shapes, and where JSON Schema does.
const SHAPES: [&str; 2] = ["#/components/schemas/", "#/$defs/"];

/// JSON Schema (2020-12) of `run.json`. It forbids no further fields: they may be added to.
pub fn schema() -> Value {
    let mut shapes = vec![(Run::name().into_owned(), Run::schema())];
    Run::schemas(&mut shapes);
    let shapes =
        shapes.into_iter().map(|(name, shape)| (name, serde_json::to_value(shape).unwrap_or_default()));
    let mut defs = Value::Object(shapes.collect::<Map<_, _>>());
    rename(&mut defs);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of sellout-load",
        "$ref": format!("{}{}", SHAPES[1], Run::name()),
        "$defs": defs,
    })
}

fn rename(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replacen(SHAPES[0], SHAPES[1], 1);
            }
            fields.values_mut().for_each(rename);
        }
        Value::Array(items) => items.iter_mut().for_each(rename),
        _ => {}
    }
}
