//! The config format for editors: JSON Schema, made by the very functions that check a file.

use std::path::Path;

use serde_json::{Value, json};

use super::{check, shape::Shape};

/// The JSON Schema (2020-12) of a config file, with a description of every key and its default.
pub fn schema() -> Value {
    let mut schema = check::file(Path::new("")).schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Longhaul configuration");
    schema["description"] =
        json!("Listeners accept clients, routes match their requests, services hold the endpoints.");
    schema
}

#[cfg(test)]
mod tests;
