//! Makes equal what may differ: each function says why it may.

/// The lines of a text, bytes that are no UTF-8 shown as such.
pub(crate) fn lines(text: &[u8]) -> Vec<String> {
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.escape_ascii().to_string()).collect()
}

/// Rows with one blank between columns: widths depend on the version (the FD column of 4.95 is at least 6 wide), and on rows
/// that are left out here.
pub(crate) fn rows(text: &[u8]) -> Vec<String> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && !is_own(line))
        .map(|line| {
            let words: Vec<_> = line
                .split(|byte| *byte == b' ')
                .filter(|word| !word.is_empty())
                .map(|word| word.escape_ascii().to_string())
                .collect();
            without_itself(without_version(words)).join(" ")
        })
        .collect()
}

/// Rows as they are, trailing blanks too.
pub(crate) fn exact(text: &[u8]) -> Vec<String> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !is_own(line))
        .map(|line| line.escape_ascii().to_string())
        .collect()
}

/// Whether it is a row about one of the programs itself, which have not the same files, nor as many threads.
fn is_own(row: &[u8]) -> bool {
    row.starts_with(b"lsof ")
}

/// What 4.99 prints differently from 4.95.
fn without_version(mut words: Vec<String>) -> Vec<String> {
    // A UDP socket that is connected has a state since 4.96.
    if words.iter().any(|word| word == "UDP") && words.last().is_some_and(|word| word == "(ESTABLISHED)") {
        words.pop();
    }
    // A folder of descriptors that cannot be read has a type since 4.96.
    if let Some(position) = words.iter().position(|word| word == "NOFD")
        && words.get(position + 1).is_some_and(|word| word == "0000")
    {
        words.remove(position + 1);
    }
    words
}

/// Among the ends of a pipe, the programs themselves, if they have inherited it: the original closes what it inherits.
fn without_itself(mut words: Vec<String>) -> Vec<String> {
    words.retain(|word| !word.contains(",lsof,"));
    words
}

/// Fields, one a line, with their terminators; without the process sets of the programs themselves.
pub(crate) fn fields(text: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut set = Vec::new();
    for field in text.split_inclusive(|byte| matches!(byte, b'\n' | 0)) {
        if field.first() == Some(&b'p') {
            lines.extend(process_set(std::mem::take(&mut set)));
        }
        set.push(field.escape_ascii().to_string());
    }
    lines.extend(process_set(set));
    lines
}

fn process_set(fields: Vec<String>) -> Vec<String> {
    if fields.iter().any(|field| field.starts_with("clsof\\")) {
        return Vec::new();
    }
    let mut kept: Vec<String> = Vec::new();
    let mut sized = false;
    for field in fields {
        match field.chars().next() {
            Some('f') => {
                sized = false;
                kept.push(high_descriptor(&field));
            }
            Some('n') => kept.push(name(&field)),
            Some('s') => {
                sized = true;
                kept.push(field);
            }
            // 4.99 prints both a size and an offset, 4.95 one of them.
            Some('o') if sized => {}
            _ => kept.push(field),
        }
    }
    kept
}

/// A name, without the programs themselves among the ends of a pipe.
fn name(field: &str) -> String {
    // The terminator is escaped.
    let (name, end) = ["\\n", "\\x00"]
        .into_iter()
        .find_map(|end| Some((field.strip_suffix(end)?, end)))
        .unwrap_or((field, ""));
    without_itself(name.split(' ').map(str::to_owned).collect()).join(" ") + end
}

/// Before 4.96, a descriptor above 9999 is `*` and its last three digits here, too.
fn high_descriptor(field: &str) -> String {
    let Some((number, end)) = field[1..].split_once('\\') else { return field.to_owned() };
    if number.len() > 4 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("f*{}\\{end}", &number[number.len() - 3..]);
    }
    field.to_owned()
}

/// All messages; of how to use each program nothing.
pub(crate) fn messages(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    // The name and the version of the program come first.
    text.lines()
        .take_while(|line| !line.trim_start().starts_with("usage:") && !line.starts_with("lsof 4"))
        .map(str::to_owned)
        .collect()
}

/// The first message. What follows is the usage, whose text is each program's own, or the same message about more.
pub(crate) fn message(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().filter(|line| !line.is_empty());
    match lines.next() {
        // Each version says how to use it in its own words.
        Some(line) if line.trim_start().starts_with("usage:") => "usage".to_owned(),
        Some(line) if line.starts_with("lsof ") && !line.starts_with("lsof: ") => "help".to_owned(),
        // What is wrong with an expression is in the words of whoever reads it.
        Some(line) if line.contains("regexp error:") => {
            line.rsplit_once(':').map_or(line, |(start, _)| start).to_owned()
        }
        Some(line) => line.to_owned(),
        None => String::new(),
    }
}
