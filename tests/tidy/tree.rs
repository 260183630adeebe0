//! What the rules look at: the files of the project, and their Rust code without comments and strings.

use std::fs;
use std::path::Path;

/// A file, by its path from the root of the repository.
pub struct File {
    pub path: String,
    pub text: String,
}

/// Rust with comments and strings blanked (lines and columns stay), and the strings with their lines.
pub struct Lexed {
    pub code: String,
    pub strings: Vec<(usize, String)>,
}

/// A function with a body: its name, its first line (from 1) and how many it has.
pub struct Function {
    pub name: String,
    pub first: usize,
    pub lines: usize,
}

/// Source, tests and schema: what is written by hand and reviewed.
const FOLDERS: [&str; 4] = ["src", "loadtest/src", "tests", "migrations"];

/// Every text file of the project's folders, in the order of their paths.
pub fn tree() -> Vec<File> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        walk(folder, &mut files);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// A file of the repository, if it is there and text.
pub fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn walk(folder: &str, files: &mut Vec<File>) {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    for entry in entries.unwrap_or_else(|e| panic!("{folder}: {e}")).flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            // What npm puts beside the browser tests was written by others.
            if entry.file_name() != "node_modules" {
                walk(&path, files);
            }
        } else if let Some(text) = read(&path) {
            files.push(File { path, text });
        }
    }
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    pub fn is(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, e)| e == extension)
    }

    pub fn is_statement(&self) -> bool {
        self.path.starts_with("src/") && (self.is("sql") || self.is("lua"))
    }

    /// Part of the program, as opposed to its tests and its schema.
    pub fn is_program(&self) -> bool {
        self.is("rs") && !self.path.starts_with("tests/")
    }

    /// `strategies/naive.rs` → `naive`.
    pub fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default()
    }

    /// One file per strategy and per lock: the exhibit.
    pub fn is_exhibit(&self) -> bool {
        let beside = |folder: &str| self.path.strip_prefix(folder).is_some_and(|name| !name.contains('/'));
        let faces = [
            "src/strategies/mod.rs",
            "src/strategies/under_lock.rs",
            "src/strategies/fenced_take.rs",
            "src/locks/mod.rs",
            "src/locks/doors.rs",
            "src/locks/holding.rs",
            "src/locks/requirements.rs",
            "src/locks/znode_queue.rs",
            "src/locks/majority.rs",
        ];
        self.is("rs")
            && (beside("src/strategies/") || beside("src/locks/"))
            && !faces.contains(&self.path.as_str())
    }

    /// The line from which unit tests stand at the foot of the file.
    pub fn foot(&self) -> usize {
        let tests = |line: &str| line.starts_with("#[cfg(test)]");
        if self.path.starts_with("tests/") {
            return 1;
        }
        self.text.lines().position(tests).map_or(usize::MAX, |at| at + 1)
    }

    pub fn lex(&self) -> Lexed {
        lex(&self.text)
    }
}

/// Blanks comments, strings and characters.
pub fn lex(text: &str) -> Lexed {
    let mut lexed = Lexed { code: String::with_capacity(text.len()), strings: Vec::new() };
    let (mut rest, mut line, mut after_word) = (text, 1, false);
    while let Some(first) = rest.chars().next() {
        let string = string_length(rest, after_word);
        let length = string.or_else(|| comment_length(rest)).or_else(|| character_length(rest));
        let (token, tail) = rest.split_at(length.unwrap_or(first.len_utf8()));
        if string.is_some() {
            let hashes = token.len() - token.trim_end_matches('#').len();
            let open = token.find('"').unwrap_or_default() + 1;
            lexed.strings.push((line, token[open..token.len() - hashes - 1].to_owned()));
        }
        let blank = |c: char| if c == '\n' || length.is_none() { c } else { ' ' };
        lexed.code.extend(token.chars().map(blank));
        line += token.matches('\n').count();
        after_word = first.is_alphanumeric() || first == '_';
        rest = tail;
    }
    lexed
}

/// `"…"`, `r"…"`, `r#"…"#`; the `b` of a byte string stays as code.
fn string_length(rest: &str, after_word: bool) -> Option<usize> {
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !after_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", &raw[..hashes]);
        return Some(1 + hashes + 1 + body.find(&end)? + end.len());
    }
    let body = rest.strip_prefix('"')?;
    let mut escaped = false;
    let close = body.char_indices().find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    Some(1 + close?.0 + 1)
}

/// `// …` to the end of the line, `/* … */` with what is nested in it.
fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.strip_prefix("/*")?;
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let open = rest[at..].find("/*").unwrap_or(usize::MAX);
        let close = rest[at..].find("*/")?;
        depth = if open < close { depth + 1 } else { depth - 1 };
        at += open.min(close) + 2;
    }
    Some(at)
}

/// `'"'` and `'\n'`, but not the lifetime `'a`.
fn character_length(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    if let Some(escape) = body.strip_prefix('\\') {
        let skip = escape.chars().next()?.len_utf8();
        return Some(2 + skip + escape[skip..].find('\'')? + 1);
    }
    let length = body.chars().next()?.len_utf8();
    body[length..].starts_with('\'').then_some(1 + length + 1)
}

/// The functions of code that rustfmt has formatted: from `fn` to the brace at the same indent.
pub fn functions(code: &str) -> Vec<Function> {
    let lines: Vec<&str> = code.lines().map(str::trim_end).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let head =
            lines[at..].iter().position(|l| l.ends_with([';', '{', '}'])).map_or("", |n| lines[at + n]);
        let end = match head.chars().last() {
            Some('{') => lines[at..].iter().position(|l| *l == format!("{indent}}}")),
            Some('}') => Some(0),
            _ => continue, // a signature in a trait
        };
        let lines = end.unwrap_or(lines.len() - at) + 1;
        found.push(Function { name, first: at + 1, lines });
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "async", "const", "unsafe", "extern", "pub(super)", "pub(crate)"];
    let only_words = before.split_whitespace().all(|word| words.contains(&word));
    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (only_words && !name.is_empty()).then_some(name)
}

/// The first names after a prefix, braces opened: `crate::{a, b::c}` and `crate::d::E` name a, b and d.
pub fn named_after(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let after = &code[at + prefix.len()..];
        match after.strip_prefix('{') {
            Some(group) => names.extend(group_names(group)),
            None => names.push(leading_word(after)),
        }
    }
    names
}

/// The first name of each member of a brace group, whatever is nested in it.
fn group_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut member) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(leading_word(&std::mem::take(&mut member))),
            _ => member.push(c),
        }
        depth += i32::from(c == '{') - i32::from(c == '}');
    }
    names.push(leading_word(&member));
    names.retain(|name| !name.is_empty());
    names
}

pub fn leading_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Lines of code in which a word stands by itself.
pub fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            !line[..at].chars().next_back().is_some_and(part)
                && !line[at + word.len()..].chars().next().is_some_and(part)
        })
    };
    code.lines().enumerate().filter(|(_, line)| alone(line)).map(|(at, _)| at + 1).collect()
}
