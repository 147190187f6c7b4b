//! Names of types: each is defined once in what the project ships, for a name says what it is without its path.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    map::{self, Module},
    source::Source,
};

/// What is shipped. The tests' and xtask's own types may repeat a name: nobody meets both.
const SHIPPED: &[&str] = &["agent/src/", "agent-common/src/", "agent-ebpf/src/"];
/// Programs for benchmarks among it.
const BENCHMARKS: &str = "agent-ebpf/src/bin/";

/// The types that the shipped files define, and where.
#[derive(Default)]
pub(super) struct Types {
    defined: BTreeMap<String, Vec<(String, usize)>>,
    /// Modules of the agent that are compiled for tests alone.
    test_modules: BTreeSet<Module>,
}

impl Types {
    /// Takes up a file that is no test.
    pub(super) fn add(&mut self, file: &str, source: &Source) {
        if !SHIPPED.iter().any(|place| file.starts_with(place)) || file.starts_with(BENCHMARKS) {
            return;
        }
        for (line, name) in source.types() {
            self.defined.entry(name).or_default().push((file.to_owned(), line));
        }
        if let Some(module) = map::module(file) {
            let whole = |name| [module.as_slice(), &[name]].concat();
            self.test_modules.extend(source.test_files().into_iter().map(whole));
        }
    }

    /// Names with several definitions, as `FILE:LINE: message`.
    pub(super) fn problems(&self) -> Vec<String> {
        let is_shipped =
            |file: &str| map::module(file).is_none_or(|module| !self.test_modules.contains(&module));
        let problems = self.defined.iter().flat_map(|(name, places)| {
            let mut places = places.iter().filter(|(file, _)| is_shipped(file));
            let first = places.next();
            places.filter_map(move |(file, line)| {
                let (other, at) = first?;
                Some(format!(
                    "{file}:{line}: a type is called `{name}` already ({other}:{at}): a name says what it is without its path"
                ))
            })
        });
        problems.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let mut types = Types::default();
        for (file, text) in sources {
            types.add(file, &Source::parse(text));
        }
        types.problems()
    }

    #[test]
    fn a_name_is_defined_once() {
        let first = ("agent/src/a.rs", "pub struct Table<'a>(&'a u8);");
        for text in
            ["\nenum Table {}", "\ntrait Table {}", "\npub(crate) type Table = u8;", "\nunion Table {}"]
        {
            assert_eq!(
                found(&[first, ("agent-common/src/b.rs", text)]),
                [
                    "agent-common/src/b.rs:2: a type is called `Table` already (agent/src/a.rs:1): a name says what it is without its path"
                ],
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_definition_and_what_is_not_shipped_does_not_count() {
        let first = ("agent/src/a.rs", "#[cfg(test)]\npub(crate) mod fixtures;\nstruct Table;");
        for (file, text) in [
            (
                "agent/src/b.rs",
                "use a::Table; impl Table { type Table = u8; fn f(t: Table) { x.union(Table) } }",
            ),
            ("agent/src/b.rs", "#[cfg(test)]\nmod tests { struct Table; }"),
            ("agent/src/b.rs", "fn f() { struct Table; }"),
            ("agent/src/a/fixtures.rs", "struct Table;"),
            ("tests/harness/b.rs", "struct Table;"),
            ("xtask/src/b.rs", "struct Table;"),
            ("agent-ebpf/src/bin/b.rs", "struct Table;"),
        ] {
            assert_eq!(found(&[first, (file, text)]), Vec::<String>::new(), "{file} {text}");
        }
    }
}
