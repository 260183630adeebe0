// Highlighting of SQL, Lua and Rust.
