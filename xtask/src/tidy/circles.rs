//! Circles: what needs itself by way of others.

use std::collections::{BTreeMap, BTreeSet};

use super::map::{Arrow, Module};

/// Modules of which the files may need one another: the screen's state and what draws it name each other's types.
const EXEMPT: &[&str] = &["tui"];

/// A shortest circle through each group of nodes that all lead to one another, from its first node back to that.
pub(super) fn circles<N: Copy + Ord>(graph: &BTreeMap<N, BTreeSet<N>>) -> Vec<Vec<N>> {
    let mut found: Vec<Vec<N>> = Vec::new();
    let mut told = BTreeSet::new();
    for start in graph.keys() {
        if !told.contains(start)
            && let Some(circle) = shortest(graph, *start)
        {
            // Whatever else is in a circle with these waits until this one is broken.
            told.extend(circle.iter().copied());
            found.push(circle);
        }
    }
    found
}

/// The shortest way from a node back to it.
fn shortest<N: Copy + Ord>(graph: &BTreeMap<N, BTreeSet<N>>, start: N) -> Option<Vec<N>> {
    let mut before: BTreeMap<N, N> = BTreeMap::new();
    let mut front = vec![start];
    while !front.is_empty() {
        let mut next = Vec::new();
        for from in front {
            for to in graph.get(&from).into_iter().flatten() {
                if *to == start {
                    let mut way = vec![start, from];
                    while let Some(at) = way.last().filter(|at| **at != start) {
                        way.push(before[at]);
                    }
                    way.reverse();
                    return Some(way);
                }
                if !before.contains_key(to) {
                    before.insert(*to, from);
                    next.push(*to);
                }
            }
        }
        front = next;
    }
    None
}

/// Files that need one another, as `FILE:LINE: message`. A module and what is below it are one here: a parent puts its children
/// together, and they use what it has for all of them.
pub(super) fn among_files(arrows: &[Arrow]) -> Vec<String> {
    let mut graph: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    let counts = |arrow: &&Arrow| {
        let (from, to) = (&arrow.from, &arrow.to);
        let is_exempt =
            from.first() == to.first() && from.first().is_some_and(|top| EXEMPT.contains(&top.as_str()));
        !from.starts_with(to) && !to.starts_with(from) && !is_exempt
    };
    for arrow in arrows.iter().filter(counts) {
        graph.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    let problems = circles(&graph).into_iter().filter_map(|circle| {
        let first = arrows.iter().find(|arrow| arrow.from == *circle[0] && arrow.to == *circle[1])?;
        let circle: Vec<_> = circle.iter().map(|module| module.join("/")).collect();
        Some(format!(
            "{}:{}: a circle: {}; what both need belongs in a module of its own",
            first.file,
            first.line,
            circle.join(" -> ")
        ))
    });
    problems.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{map, source::Source};

    fn found(arrows: &[(char, char)]) -> Vec<String> {
        let mut graph: BTreeMap<char, BTreeSet<char>> = BTreeMap::new();
        for (from, to) in arrows {
            graph.entry(*from).or_default().insert(*to);
        }
        circles(&graph).into_iter().map(|circle| circle.into_iter().collect()).collect()
    }

    #[test]
    fn circles_of_any_length_are_found_once() {
        assert_eq!(found(&[('a', 'b'), ('b', 'c'), ('a', 'c')]), [""; 0]);
        assert_eq!(found(&[('a', 'b'), ('b', 'a')]), ["aba"]);
        assert_eq!(found(&[('a', 'b'), ('b', 'c'), ('c', 'd'), ('d', 'b'), ('d', 'e')]), ["bcdb"]);
        assert_eq!(found(&[('a', 'b'), ('b', 'a'), ('c', 'd'), ('d', 'c'), ('b', 'c')]), ["aba", "cdc"]);
    }

    #[test]
    fn files_that_need_one_another_are_told() {
        let sources = [
            ("agent/src/a/mod.rs", "mod b; mod c; mod d;\npub use b::B;"),
            ("agent/src/a/b.rs", "use super::d::D;\nuse super::c::C;"),
            ("agent/src/a/c.rs", "use crate::a::b::B;"),
            ("agent/src/a/d.rs", "use super::A;"),
        ];
        let files: Vec<_> = sources
            .iter()
            .map(|(file, text)| ((*file).to_owned(), map::module(file).unwrap(), Source::parse(text)))
            .collect();
        assert_eq!(
            among_files(&map::arrows(&files)),
            [
                "agent/src/a/b.rs:2: a circle: a/b -> a/c -> a/b; what both need belongs in a module of its own"
            ]
        );
    }
}
