//! The code map of ARCHITECTURE.md, and whether the modules of `agent/src` hold to it.
//!
//! A row's first column names places, its second begins with `pure:` for what does no input or output, and the words in back-quotes
//! of its third are what it may use: modules of `agent/src`, each with all below it. A file belongs to the row with the longest
//! place above it. Rows may be there before their modules.

use std::collections::{BTreeMap, BTreeSet};

use super::{circles, source::Source};

/// The document that has the map.
pub(super) const DOCUMENT: &str = "ARCHITECTURE.md";
/// What begins the places of modules.
const ROOT: &str = "agent/src/";
const HEADER: &str = "| place | what it is | may use |";

/// A module, as the names from the crate's root to it.
pub(super) type Module = Vec<String>;

/// The rows of the code map that are about modules.
#[derive(Debug)]
pub(super) struct CodeMap {
    rows: Vec<MapRow>,
}

#[derive(Debug)]
struct MapRow {
    line: usize,
    places: Vec<Module>,
    is_pure: bool,
    /// `None` for everything.
    may_use: Option<Vec<Module>>,
}

/// Where one module uses something of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: Module,
    /// The module that is used, as far down as there are files.
    pub(super) to: Module,
    pub(super) file: String,
    pub(super) line: usize,
    /// As it is written.
    path: String,
}

impl CodeMap {
    /// Reads the map from the document's text.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().enumerate().skip_while(|(_, line)| *line != HEADER).skip(2);
        let rows = lines.take_while(|(_, line)| line.starts_with('|')).filter_map(|(at, line)| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [places, what, may_use] = cells[..] else { return None };
            let places: Vec<_> = quoted(places)
                .filter_map(|place| place.strip_prefix(ROOT))
                .map(|place| segments(place.trim_end_matches(".rs")))
                .collect();
            (!places.is_empty()).then(|| MapRow {
                line: at + 1,
                places,
                is_pure: what.starts_with("pure:"),
                may_use: (may_use != "everything").then(|| quoted(may_use).map(segments).collect()),
            })
        });
        Self { rows: rows.collect() }
    }

    /// Whether a file of the agent may do no input or output.
    pub(super) fn is_pure(&self, file: &str) -> bool {
        module(file).and_then(|module| self.row(&module)).is_some_and(|row| row.is_pure)
    }

    /// What is wrong with the map itself, as `FILE:LINE: message`.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut lines = BTreeMap::new();
        for row in &self.rows {
            for place in &row.places {
                if let Some(before) = lines.insert(place, row.line) {
                    problems.push(format!(
                        "{DOCUMENT}:{}: `{}` has a row already, in line {before}: a merge keeps both sides' rows",
                        row.line,
                        place.join("/")
                    ));
                }
            }
            for used in row.may_use.iter().flatten() {
                let Some(to) = self.rows.iter().flat_map(|row| &row.places).find(|place| place[0] == used[0])
                else {
                    problems.push(format!(
                        "{DOCUMENT}:{}: `{}` has no row of its own",
                        row.line,
                        used.join("/")
                    ));
                    continue;
                };
                if row.is_pure && !self.is_all_pure(used) {
                    problems.push(format!(
                        "{DOCUMENT}:{}: what is pure uses nothing that is not, as `{}` is",
                        row.line,
                        used.join("/")
                    ));
                }
                for from in row.places.iter().filter(|from| from[0] != to[0]) {
                    graph.entry(&from[0]).or_default().insert(&to[0]);
                }
            }
        }
        for circle in circles::circles(&graph) {
            problems.push(format!(
                "{DOCUMENT}: the code map has a circle: {}; what both need belongs below both",
                circle.join(" -> ")
            ));
        }
        problems
    }

    /// Where the modules do not hold to the map, as `FILE:LINE: message`.
    pub(super) fn check<'f>(
        &self,
        arrows: &[Arrow],
        files: impl Iterator<Item = (&'f String, &'f Module)>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        for (file, module) in files.filter(|(_, module)| !module.is_empty()) {
            if self.row(module).is_none() {
                problems.push(format!(
                    "{file}:1: {DOCUMENT}'s code map has no row for it: say what it is and what it may use"
                ));
            }
        }
        for arrow in arrows {
            let (Some(from), Some(to)) = (self.row(&arrow.from), self.row(&arrow.to)) else { continue };
            let allowed = std::ptr::eq(from, to)
                || from.may_use.as_ref().is_none_or(|may| may.iter().any(|used| arrow.to.starts_with(used)));
            if !allowed {
                problems.push(format!(
                    "{}:{}: `{}` may not use `{}` (`{}`), says {DOCUMENT}'s code map: what both need belongs below both \
                     (`model`, `format`), what brings them together in `run`, and a new arrow in line {} of the map",
                    arrow.file,
                    arrow.line,
                    arrow.from.join("/"),
                    arrow.to.join("/"),
                    arrow.path,
                    from.line,
                ));
            }
        }
        problems
    }

    /// The row that a module belongs to.
    fn row(&self, module: &[String]) -> Option<&MapRow> {
        let depth = |row: &MapRow| {
            row.places.iter().filter(|place| module.starts_with(place)).map(Vec::len).max().unwrap_or(0)
        };
        self.rows.iter().filter(|row| depth(row) > 0).max_by_key(|row| depth(row))
    }

    /// Whether a module and all below it is pure.
    fn is_all_pure(&self, module: &[String]) -> bool {
        let below = self.rows.iter().filter(|row| row.places.iter().any(|place| place.starts_with(module)));
        below.chain(self.row(module)).all(|row| row.is_pure)
    }
}

/// The module that a file of the agent is; empty for the crate's root.
pub(super) fn module(file: &str) -> Option<Module> {
    let mut module = segments(file.strip_prefix(ROOT)?.strip_suffix(".rs")?);
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        module.pop();
    }
    Some(module)
}

/// What the files use of one another.
pub(super) fn arrows(files: &[(String, Module, Source)]) -> Vec<Arrow> {
    let modules: BTreeSet<&[String]> = files.iter().map(|(_, module, _)| module.as_slice()).collect();
    let mut arrows = Vec::new();
    for (file, from, source) in files {
        let paths = source.paths();
        // A module that is imported is the beginning of paths in the code.
        let imported: BTreeMap<_, _> = paths
            .iter()
            .filter_map(|(_, path)| absolute(path, from))
            .filter(|path| modules.contains(path.as_slice()))
            .filter_map(|path| Some((path.last()?.clone(), path)))
            .collect();
        for (line, path) in &paths {
            let whole = absolute(path, from).or_else(|| {
                let mut rest = segments_of_path(path);
                let first = rest.remove(0);
                let child = [from.as_slice(), std::slice::from_ref(&first)].concat();
                let module =
                    if modules.contains(child.as_slice()) { Some(&child) } else { imported.get(&first) };
                module.map(|module| [module.as_slice(), &rest].concat())
            });
            let Some(whole) = whole else { continue };
            let depth = (1..=whole.len()).rev().find(|depth| modules.contains(&whole[..*depth]));
            let Some(to) = depth.map(|depth| whole[..depth].to_vec()) else { continue };
            if to != *from {
                arrows.push(Arrow {
                    from: from.clone(),
                    to,
                    file: file.clone(),
                    line: *line,
                    path: path.clone(),
                });
            }
        }
    }
    arrows
}

/// A path from the crate's root; `None` for one that begins anywhere else.
fn absolute(path: &str, module: &[String]) -> Option<Module> {
    let segments = segments_of_path(path);
    let mut base = module.to_vec();
    let mut rest = segments.as_slice();
    match rest.first()?.as_str() {
        "crate" => return Some(rest[1..].to_vec()),
        "self" => rest = &rest[1..],
        "super" => {
            while let Some((first, after)) = rest.split_first()
                && first == "super"
            {
                base.pop();
                rest = after;
            }
        }
        _ => return None,
    }
    base.extend_from_slice(rest);
    Some(base)
}

fn segments_of_path(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

fn segments(place: &str) -> Module {
    place.split('/').map(str::to_owned).collect()
}

/// What stands in back-quotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
        # Architecture\n\n\
        | place | what it is | may use |\n\
        | --- | --- | --- |\n\
        | `agent-common` | numbers | nothing |\n\
        | `agent/src/flow` | pure: rows | `model`; agent-common |\n\
        | `agent/src/model` | pure: values | nothing |\n\
        | `agent/src/host` | reads | `model`, `host/proc`, a resolver |\n\
        | `agent/src/host/proc`, `agent/src/host/users.rs` | /proc | `model` |\n\
        | `agent/src/report` | pure: text | `flow` |\n\
        | `agent/src/later` | pure: not yet there | `report` |\n\
        | `agent/src/run` | wiring | everything |\n\n\
        | `agent/src/none` | in another table | nothing |\n";

    fn checked(sources: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = sources
            .iter()
            .map(|(file, text)| ((*file).to_owned(), module(file).unwrap(), Source::parse(text)))
            .collect();
        let modules = files.iter().map(|(file, module, _)| (file, module));
        CodeMap::parse(MAP).check(&arrows(&files), modules)
    }

    /// The problems of one file beside others without any.
    fn with(file: &str, text: &str) -> Vec<String> {
        let mut sources = vec![
            ("agent/src/lib.rs", "pub mod flow;"),
            ("agent/src/flow/mod.rs", ""),
            ("agent/src/flow/row.rs", ""),
            ("agent/src/model/mod.rs", ""),
            ("agent/src/model/owner.rs", ""),
            ("agent/src/host/mod.rs", ""),
            ("agent/src/host/proc/mod.rs", ""),
            ("agent/src/report/mod.rs", ""),
            ("agent/src/report/text.rs", ""),
            ("agent/src/run/mod.rs", ""),
        ];
        sources.retain(|(other, _)| *other != file);
        sources.push((file, text));
        checked(&sources)
    }

    #[test]
    fn an_arrow_of_the_map_is_allowed_however_it_is_written() {
        for (file, text) in [
            ("agent/src/report/text.rs", "use crate::{flow::row::{self, Row}};"),
            ("agent/src/report/text.rs", "use super::Context; fn f() { crate::flow::row::g() }"),
            ("agent/src/flow/row.rs", "use crate::model::owner::Owner;"),
            ("agent/src/host/mod.rs", "pub mod proc; use self::proc::Stat; use crate::model;"),
            ("agent/src/run/mod.rs", "use crate::{flow, host::proc, report::text};"),
            ("agent/src/lib.rs", "use crate::run::main;"),
        ] {
            assert_eq!(with(file, text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn any_other_arrow_is_told_with_its_line() {
        for (file, text, from, to) in [
            (
                "agent/src/report/text.rs",
                "\nuse crate::{\n  model::owner::Owner};",
                "report/text",
                "model/owner",
            ),
            (
                "agent/src/report/text.rs",
                "\n\nuse super::super::host::proc::Stat;",
                "report/text",
                "host/proc",
            ),
            (
                "agent/src/report/text.rs",
                "\n\nfn f() { crate::host::proc::read() }",
                "report/text",
                "host/proc",
            ),
            ("agent/src/flow/row.rs", "\n\nuse crate::host;\n", "flow/row", "host"),
            ("agent/src/host/proc/mod.rs", "\n\nuse super::*;", "host/proc", "host"),
        ] {
            let problems = with(file, text);
            let expected = format!("{file}:3: `{from}` may not use `{to}`");
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(&expected), "{problems:?}");
        }
    }

    #[test]
    fn a_module_that_is_imported_begins_paths() {
        let problems = with("agent/src/flow/row.rs", "use crate::host;\nfn f() { host::proc::read() }");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].contains(":2: `flow/row` may not use `host/proc` (`host::proc::read`)"));
    }

    #[test]
    fn tests_may_use_what_they_like() {
        let text = "#[cfg(test)]\nmod tests {\n    use crate::host::proc::Stat;\n}\n";
        assert_eq!(with("agent/src/flow/row.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_module_has_a_row() {
        let problems = with("agent/src/none.rs", "");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("agent/src/none.rs:1: ARCHITECTURE.md's code map has no row"));
    }

    #[test]
    fn the_row_with_the_longest_place_counts() {
        let map = CodeMap::parse(MAP);
        assert!(map.is_pure("agent/src/flow/row.rs"));
        assert!(!map.is_pure("agent/src/host/users.rs"));
        assert!(!map.is_pure("xtask/src/main.rs"));
        assert_eq!(map.row(&segments("host/users")).unwrap().line, 9);
        assert_eq!(map.row(&segments("host/names")).unwrap().line, 8);
    }

    #[test]
    fn the_map_itself_is_checked() {
        assert_eq!(CodeMap::parse(MAP).problems(), Vec::<String>::new());
        let wrong = |from: &str, to: &str| CodeMap::parse(&MAP.replacen(from, to, 1)).problems();
        assert_eq!(
            wrong("| pure: rows | `model`", "| pure: rows | `modal`"),
            ["ARCHITECTURE.md:6: `modal` has no row of its own"]
        );
        assert_eq!(
            wrong("| pure: rows | `model`", "| pure: rows | `host`"),
            ["ARCHITECTURE.md:6: what is pure uses nothing that is not, as `host` is"]
        );
        assert_eq!(
            wrong("`agent/src/later`", "`agent/src/run`"),
            ["ARCHITECTURE.md:12: `run` has a row already, in line 11: a merge keeps both sides' rows"]
        );
        let circle = wrong("| pure: values | nothing", "| pure: values | `report`");
        assert_eq!(circle.len(), 1);
        assert!(circle[0].contains("circle: flow -> model -> report -> flow"), "{circle:?}");
    }
}
