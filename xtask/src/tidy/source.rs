//! Just enough of Rust's grammar to tell code from comments, literals and tests, and to find paths in it.

/// A source file as the rules see it.
pub(super) struct Source {
    /// The text with blanks for comments and literals.
    code: String,
    /// The same, with blanks for the test modules too.
    outside_tests: String,
    /// How many lines there are outside the test modules.
    pub(super) lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Name(&'a str),
    /// `::`
    Separator,
    Other(char),
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let code = blank_literals(text);
        let mut outside_tests = code.clone();
        let mut test_lines = 0;
        let mut from = 0;
        while let Some((start, end)) = test_module(&code, from) {
            let blank = blanked(&code[start..end]);
            outside_tests.replace_range(start..end, &blank);
            test_lines += code[start..end].lines().count();
            from = end;
        }
        Self { outside_tests, lines: text.lines().count() - test_lines, code }
    }

    /// Every path of two segments or more outside the tests, and every imported one, with its line.
    pub(super) fn paths(&self) -> Vec<(usize, String)> {
        let tokens = tokens(&self.outside_tests);
        let mut paths = Vec::new();
        let mut at = 0;
        while let Some(&(line, token)) = tokens.get(at) {
            at += 1;
            match token {
                Token::Name("use") => at = imported(&tokens, at, "", &mut paths),
                // Who may see an item is no use of theirs: `pub(in crate::a)`.
                Token::Name("in") if at >= 2 && tokens[at - 2].1 == Token::Other('(') => {
                    at += tokens[at..].iter().take_while(|(_, token)| *token != Token::Other(')')).count();
                }
                Token::Name(name) => {
                    let mut path = name.to_owned();
                    while let [(_, Token::Separator), (_, Token::Name(next)), ..] = tokens[at..] {
                        path.push_str("::");
                        path.push_str(next);
                        at += 2;
                    }
                    if path.len() > name.len() {
                        paths.push((line, path));
                    }
                }
                Token::Separator | Token::Other(_) => {}
            }
        }
        paths
    }

    /// The types that are defined outside the tests, with their lines. Those of a function or of an implementation are
    /// nobody else's.
    pub(super) fn types(&self) -> Vec<(usize, String)> {
        let tokens = tokens(&self.outside_tests);
        let mut depth = 0_usize;
        let mut types = Vec::new();
        for pair in tokens.windows(2) {
            match (pair[0].1, pair[1]) {
                (Token::Other('{'), _) => depth += 1,
                (Token::Other('}'), _) => depth = depth.saturating_sub(1),
                (Token::Name("struct" | "enum" | "trait" | "type" | "union"), (line, Token::Name(name)))
                    if depth == 0 =>
                {
                    types.push((line, name.to_owned()));
                }
                _ => {}
            }
        }
        types
    }

    /// The modules in files of their own that are compiled for tests alone.
    pub(super) fn test_files(&self) -> Vec<String> {
        let after = self.code.split("#[cfg(test)]").skip(1);
        let names = after.filter_map(|item| {
            let head = item[..item.find([';', '{'])?].trim();
            let name = head.strip_prefix("mod ").or_else(|| Some(head.split_once(" mod ")?.1))?;
            item[item.find([';', '{'])?..].starts_with(';').then(|| name.trim().to_owned())
        });
        names.collect()
    }

    /// The lines, tests included, in which the keyword stands.
    pub(super) fn lines_with_unsafe(&self) -> Vec<usize> {
        let unsafe_token = |(line, token)| (token == Token::Name("unsafe")).then_some(line);
        tokens(&self.code).into_iter().filter_map(unsafe_token).collect()
    }
}

/// Reads one tree of a `use`, and returns where it ends.
fn imported(
    tokens: &[(usize, Token<'_>)],
    mut at: usize,
    prefix: &str,
    paths: &mut Vec<(usize, String)>,
) -> usize {
    let mut path = prefix.to_owned();
    let mut line = None;
    while let Some(&(token_line, token)) = tokens.get(at) {
        match token {
            Token::Name("as") => at += 1,
            Token::Name("self") if !path.is_empty() => {}
            Token::Name(name) => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(name);
            }
            Token::Other('{') => {
                at += 1;
                while !matches!(tokens.get(at), None | Some((_, Token::Other('}')))) {
                    at = imported(tokens, at, &path, paths);
                    if let Some((_, Token::Other(','))) = tokens.get(at) {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Token::Separator | Token::Other('*') => {}
            Token::Other(_) => break,
        }
        line.get_or_insert(token_line);
        at += 1;
    }
    match line {
        Some(line) => paths.push((line, path)),
        // Neither a tree nor the end of one: step over it, or the caller would wait for ever.
        None if !matches!(tokens.get(at), Some((_, Token::Other(',' | '}' | ';')))) => at += 1,
        None => {}
    }
    at
}

fn tokens(code: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if is_name(first) {
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            tokens.push((line, Token::Name(&rest[..length])));
            length
        } else if rest.starts_with("::") {
            tokens.push((line, Token::Separator));
            2
        } else {
            if first == '\n' {
                line += 1;
            } else if !first.is_whitespace() {
                tokens.push((line, Token::Other(first)));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The next module that is compiled for tests only and written in this file, from its attribute to its brace.
fn test_module(code: &str, from: usize) -> Option<(usize, usize)> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut from = from;
    loop {
        let start = from + code[from..].find(ATTRIBUTE)?;
        from = start + ATTRIBUTE.len();
        let item = code[from..].trim_start();
        let Some(body) = item
            .strip_prefix("mod ")
            .and_then(|name| name.trim_start_matches(is_name).trim_start().strip_prefix('{'))
        else {
            continue;
        };
        let mut depth = 1_usize;
        for (at, c) in body.char_indices() {
            depth = match c {
                '{' => depth + 1,
                '}' => depth - 1,
                _ => depth,
            };
            if depth == 0 {
                return Some((start, code.len() - body.len() + at + 1));
            }
        }
        return Some((start, code.len()));
    }
}

fn blanked(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// The text with blanks for what is in comments, strings and characters; the lines stay where they are.
fn blank_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let literal = literal(rest, first);
        if literal > 0 {
            code.push_str(&blanked(&rest[..literal]));
            rest = &rest[literal..];
            continue;
        }
        // A whole name at a time, so that the `r` of `for` begins no raw string.
        let length = match rest.find(|c| !is_name(c)) {
            Some(0) => first.len_utf8(),
            Some(length) => length,
            None => rest.len(),
        };
        code.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    code
}

/// The length of the comment or literal that `rest` begins with; 0 when it begins with neither.
fn literal(rest: &str, first: char) -> usize {
    let all = rest.len();
    match first {
        '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(all),
        '/' if rest.starts_with("/*") => block_comment(rest),
        '"' => 1 + quoted(&rest[1..], '"'),
        '\'' => {
            let mut after = rest[1..].chars();
            match (after.next(), after.next()) {
                (Some('\\'), _) | (Some(_), Some('\'')) => 1 + quoted(&rest[1..], '\''),
                // A lifetime.
                _ => 0,
            }
        }
        'b' | 'c' | 'r' => {
            let marked = rest.trim_start_matches(['b', 'c']);
            let Some(marked) = marked.strip_prefix('r') else { return 0 };
            let text = marked.trim_start_matches('#');
            let hashes = marked.len() - text.len();
            if !text.starts_with('"') {
                return 0;
            }
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = all - text.len() + 1;
            text[1..].find(&end).map_or(all, |at| begin + at + end.len())
        }
        _ => 0,
    }
}

/// The length up to and with the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<(usize, String)> {
        Source::parse(text).paths()
    }

    #[test]
    fn imports_are_spelt_out() {
        let text = "use std::{\n    fs::{self, File as F},\n    io::*,\n};\npub use ::aya;\n";
        let expected = [(2, "std::fs"), (2, "std::fs::File"), (3, "std::io"), (5, "aya")];
        assert_eq!(paths(text), expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn calls_are_found_and_single_names_are_not() {
        assert_eq!(paths("fn f() { a::b::<u8>::c(d); e }"), [(1, "a::b".to_owned())]);
        assert_eq!(paths("pub(in crate::a) fn f() { for x in b::c {} }"), [(1, "b::c".to_owned())]);
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "// a::b\n/* c::d /* e::f */ g::h */ const S: &str = \"i::j \\\" k::l\";\n\
                    const R: &[u8] = br#\"m::n \" o::p\"#; const C: char = '\"'; const Q: char = '\\'';\n\
                    fn q<'a>(r: &'a str) { r::s(); for_r::t() }\n";
        assert_eq!(paths(text), [(4, "r::s".to_owned()), (4, "for_r::t".to_owned())]);
    }

    #[test]
    fn an_unfinished_import_ends() {
        assert_eq!(paths("use ;"), []);
        assert_eq!(paths("use a::{b, ="), [(1, "a::b".to_owned())]);
        assert_eq!(paths("use {"), []);
    }

    #[test]
    fn code_after_a_test_module_counts() {
        let source = Source::parse(
            "#[cfg(test)]\nmod tests {\n    mod a { }\n}\nuse b::c;\n#[cfg(test)]\nuse d::e;\n",
        );
        assert_eq!(source.lines, 3);
        assert_eq!(source.paths(), [(5, "b::c".to_owned()), (7, "d::e".to_owned())]);
    }
}
