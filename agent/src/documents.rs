//! For tests alone: documents beside the schemas in docs/ that describe them.

use jsonschema::Validator;
use serde_json::Value;

/// A schema.
pub(crate) struct Schema(Validator);

impl Schema {
    /// Reads a schema, which must be one itself.
    pub(crate) fn new(text: &str) -> Self {
        let schema = serde_json::from_str(text).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        Self(jsonschema::draft202012::new(&schema).unwrap())
    }

    /// Whether it describes a document.
    pub(crate) fn describes(&self, document: &Value) -> bool {
        self.0.is_valid(document)
    }

    /// Fails with all that is wrong with a document.
    pub(crate) fn check(&self, document: &Value) {
        let errors: Vec<_> =
            self.0.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    /// Of the objects at these places nothing may be missing but what is optional, and nothing may be there that is not
    /// described. A place that the document does not have is left out.
    pub(crate) fn check_fields(
        &self,
        document: &Value,
        pointers: &[&str],
        is_optional: impl Fn(&str, &str) -> bool,
    ) {
        for pointer in pointers {
            let Some(object) = document.pointer(pointer).and_then(Value::as_object) else { continue };
            let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
                let mut other = document.clone();
                change(other.pointer_mut(pointer).unwrap().as_object_mut().unwrap());
                other
            };
            for field in object.keys() {
                let less = changed(&|object| drop(object.remove(field)));
                assert_eq!(self.describes(&less), is_optional(pointer, field), "{pointer}/{field}");
            }
            let more = changed(&|object| drop(object.insert("surplus".to_owned(), Value::Null)));
            assert!(!self.describes(&more), "{pointer}/surplus");
        }
    }
}
