//! What one source file says: its modules, imports, paths, functions, doc comments and macros.
//!
//! Facts are plain data that all tests share; a syntax tree can't leave the thread that made it.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{AttrStyle, Attribute, Expr, Item, Lit, Meta, UseTree, Visibility};

/// What one file says.
#[derive(Default)]
pub(super) struct Facts {
    /// The file's own module, then the inline modules in it. Modules for tests are left out.
    pub scopes: Vec<Scope>,
    pub functions: Vec<Function>,
    pub docs: Vec<Doc>,
    /// Name and line of each macro that is called outside tests.
    pub macros: Vec<(String, usize)>,
}

/// The names that one module defines, imports and uses.
#[derive(Default)]
pub(super) struct Scope {
    /// Path below the file's own module; empty for that module itself.
    pub below: Vec<String>,
    pub items: BTreeSet<String>,
    /// Macros by `macro_rules!`, which modules declared below see without a path.
    pub macros: BTreeSet<String>,
    /// Each `mod name;`, and whether it is for tests only.
    pub children: Vec<(String, bool)>,
    pub imports: Vec<Import>,
    pub mentions: Vec<Mention>,
    /// Names of variables, type parameters and items of functions, which hide a module's items.
    pub bound: BTreeSet<String>,
}

/// One leaf of a `use` tree.
pub(super) struct Import {
    pub path: Vec<String>,
    /// The name that the import gives, or `None` for a glob.
    pub alias: Option<String>,
    pub line: usize,
    /// Whether it is a re-export, by `pub use` of any reach.
    pub exported: bool,
}

/// A path outside `use`.
pub(super) struct Mention {
    pub path: Vec<String>,
    pub line: usize,
}

/// A function or method with a body.
pub(super) struct Function {
    pub name: String,
    pub line: usize,
    /// Number of lines from the signature to the closing brace, both included.
    pub lines: usize,
}

/// A doc comment.
pub(super) struct Doc {
    pub line: usize,
    pub lines: Vec<String>,
    /// Whether it is of what stands around it, as `//!` is.
    pub inner: bool,
    /// Whether it is the help text of a flag, a command or a value of a flag.
    pub help: bool,
}

/// Reads the facts of a file, or says why it is no Rust.
pub(super) fn read(text: &str) -> syn::Result<Facts> {
    let file = syn::parse_file(text)?;
    let mut reader = Reader::default();
    reader.facts.scopes.push(Scope::default());
    reader.visit_file(&file);
    Ok(reader.facts)
}

#[derive(Default)]
struct Reader {
    facts: Facts,
    /// Index of the module that is being read.
    scope: usize,
    /// Number of blocks around what is being read.
    depth: usize,
    in_tests: bool,
    in_help: bool,
}

impl Reader {
    fn scope(&mut self) -> &mut Scope {
        &mut self.facts.scopes[self.scope]
    }

    fn mention(&mut self, path: Vec<String>, line: usize) {
        if !self.in_tests {
            self.scope().mentions.push(Mention { path, line });
        }
    }

    fn bind(&mut self, ident: &Ident) {
        let name = ident.to_string();
        self.scope().bound.insert(name);
    }

    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::TraitAlias(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Macro(item) => {
                let Some(name) = &item.ident else { return };
                self.scope().macros.insert(name.to_string());
                name
            }
            _ => return,
        };
        if self.depth > 0 {
            self.bind(name);
        } else {
            self.scope().items.insert(name.to_string());
        }
    }

    fn import(&mut self, tree: &UseTree, prefix: &mut Vec<String>, exported: bool) {
        let (path, alias, line) = match tree {
            UseTree::Path(tree) => {
                prefix.push(tree.ident.to_string());
                self.import(&tree.tree, prefix, exported);
                prefix.pop();
                return;
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, prefix, exported);
                }
                return;
            }
            UseTree::Name(tree) => {
                let path = joined(prefix, &tree.ident);
                (path.clone(), path.last().cloned(), line_of(&tree.ident))
            }
            UseTree::Rename(tree) => {
                let path = joined(prefix, &tree.ident);
                (path, Some(tree.rename.to_string()), line_of(&tree.ident))
            }
            UseTree::Glob(tree) => (prefix.clone(), None, tree.star_token.span.start().line),
        };
        self.scope().imports.push(Import { path, alias, line, exported });
    }

    fn function(&mut self, name: &Ident, from: usize, to: usize) {
        self.facts.functions.push(Function {
            name: name.to_string(),
            line: from,
            lines: to - from + 1,
        });
    }

    fn doc(&mut self, line: usize, text: &str, inner: bool) {
        let help = self.in_help;
        if let Some(last) = self.facts.docs.last_mut()
            && last.line + last.lines.len() == line
            && last.inner == inner
        {
            last.lines.push(text.to_owned());
        } else {
            self.facts.docs.push(Doc { line, lines: vec![text.to_owned()], inner, help });
        }
    }

    /// Reads paths, calls of macros and functions out of tokens whose grammar only a macro knows.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at] {
                TokenTree::Group(group) => {
                    self.scan(group.stream());
                    1
                }
                TokenTree::Ident(ident) => self.scan_path(&tokens, at, ident),
                TokenTree::Literal(_) | TokenTree::Punct(_) => 1,
            };
        }
    }

    /// Reads the path that begins at a token, and returns the number of its tokens.
    fn scan_path(&mut self, tokens: &[TokenTree], at: usize, first: &Ident) -> usize {
        let mut path = vec![first.to_string()];
        let mut end = at + 1;
        while punct(tokens, end, ':')
            && punct(tokens, end + 1, ':')
            && let Some(TokenTree::Ident(next)) = tokens.get(end + 2)
        {
            path.push(next.to_string());
            end += 3;
        }
        let line = line_of(first);
        if first == "fn"
            && let Some(TokenTree::Ident(name)) = tokens.get(at + 1)
            && let Some(end) = tokens[at..].iter().find_map(end_of_braces)
        {
            self.function(name, line, end);
        }
        let called =
            punct(tokens, end, '!') && matches!(tokens.get(end + 1), Some(TokenTree::Group(_)));
        if called && !self.in_tests {
            self.facts.macros.push((path[path.len() - 1].clone(), line));
        }
        let before = |back: usize, mark| at >= back && punct(tokens, at - back, mark);
        let member = before(1, '.') && !before(2, '.');
        let variable = before(1, '$') && first != "crate";
        let rest_of_path = before(1, ':') && before(2, ':');
        let rest_of_type = rest_of_path && before(3, '>');
        if !member && !variable && !before(1, '\'') && !rest_of_type {
            // Colons with nothing before them begin a path into another crate.
            let leading = rest_of_path.then(String::new);
            self.mention(leading.into_iter().chain(path).collect(), line);
        }
        end - at
    }

    /// Reads the paths in an attribute's strings, such as serde's `with = "super::hex"`.
    fn scan_strings(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.scan_strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    let in_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                    if text.contains("::") && text.chars().all(in_path) {
                        let path = text.split("::").map(str::to_owned).collect();
                        self.mention(path, literal.span().start().line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }

    /// Reads a type whose doc comments are help texts if it derives one of clap's traits.
    fn with_help(&mut self, attributes: &[Attribute], read: impl FnOnce(&mut Self)) {
        let kinds = ["Args", "Parser", "Subcommand", "ValueEnum"];
        self.in_help = attributes.iter().any(|attribute| {
            attribute.path().is_ident("derive")
                && matches!(&attribute.meta, Meta::List(list)
                    if names(&list.tokens).iter().any(|name| kinds.contains(&name.as_str())))
        });
        read(self);
        self.in_help = false;
    }

    fn with_tests(&mut self, attributes: &[Attribute], read: impl FnOnce(&mut Self)) {
        let before = self.in_tests;
        self.in_tests |= attributes.iter().any(is_for_tests);
        read(self);
        self.in_tests = before;
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        self.with_tests(attributes(item), |reader| {
            if let Item::Mod(module) = item
                && module.content.is_none()
            {
                let child = (module.ident.to_string(), reader.in_tests);
                reader.scope().children.push(child);
            }
            if !reader.in_tests {
                reader.define(item);
            }
            visit::visit_item(reader, item);
        });
    }

    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if module.content.is_none() || self.in_tests {
            visit::visit_item_mod(self, module);
            return;
        }
        let outer = self.scope;
        let below = joined(&self.scope().below, &module.ident);
        self.facts.scopes.push(Scope { below, ..Scope::default() });
        self.scope = self.facts.scopes.len() - 1;
        visit::visit_item_mod(self, module);
        self.scope = outer;
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if !self.in_tests {
            let mut prefix = Vec::new();
            if item.leading_colon.is_some() {
                prefix.push(String::new());
            }
            let exported = !matches!(item.vis, Visibility::Inherited);
            self.import(&item.tree, &mut prefix, exported);
        }
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.with_help(&item.attrs, |reader| visit::visit_item_struct(reader, item));
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.with_help(&item.attrs, |reader| visit::visit_item_enum(reader, item));
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        let end = item.block.span().end().line;
        self.function(&item.sig.ident, item.sig.span().start().line, end);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        let end = item.block.span().end().line;
        self.function(&item.sig.ident, item.sig.span().start().line, end);
        self.with_tests(&item.attrs, |reader| visit::visit_impl_item_fn(reader, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(block) = &item.default {
            let end = block.span().end().line;
            self.function(&item.sig.ident, item.sig.span().start().line, end);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        match &attribute.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => {
                if let Expr::Lit(value) = &meta.value
                    && let Lit::Str(text) = &value.lit
                {
                    let inner = matches!(attribute.style, AttrStyle::Inner(_));
                    self.doc(attribute.pound_token.span.start().line, &text.value(), inner);
                }
            }
            Meta::List(meta) if !self.in_tests => {
                self.scan(meta.tokens.clone());
                self.scan_strings(meta.tokens.clone());
            }
            _ => {}
        }
    }

    fn visit_macro(&mut self, mac: &'a syn::Macro) {
        let path = path_of(&mac.path);
        let line = line_of(&mac.path.segments[0].ident);
        if !self.in_tests {
            self.facts.macros.push((path[path.len() - 1].clone(), line));
        }
        self.mention(path, line);
        self.scan(mac.tokens.clone());
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.mention(path_of(path), line_of(&path.segments[0].ident));
        visit::visit_path(self, path);
    }

    fn visit_pat_ident(&mut self, pattern: &'a syn::PatIdent) {
        if pattern.ident.to_string().starts_with(char::is_uppercase) {
            self.mention(vec![pattern.ident.to_string()], line_of(&pattern.ident));
        } else {
            self.bind(&pattern.ident);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_type_param(&mut self, parameter: &'a syn::TypeParam) {
        self.bind(&parameter.ident);
        visit::visit_type_param(self, parameter);
    }

    fn visit_block(&mut self, block: &'a syn::Block) {
        self.depth += 1;
        visit::visit_block(self, block);
        self.depth -= 1;
    }

    /// Skips `pub(super)`, whose path names nothing.
    fn visit_visibility(&mut self, _: &'a Visibility) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an attribute is `#[cfg(test)]`, alone or as one condition of several.
fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && matches!(attribute.style, AttrStyle::Outer)
        && matches!(&attribute.meta, Meta::List(list) if requires_test(&list.tokens))
}

fn requires_test(tokens: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(all), TokenTree::Group(group)] if all == "all" => {
            let conditions: Vec<TokenTree> = group.stream().into_iter().collect();
            conditions
                .split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','))
                .any(|condition| requires_test(&condition.iter().cloned().collect()))
        }
        [TokenTree::Ident(name)] => name == "test",
        _ => false,
    }
}

fn names(tokens: &TokenStream) -> Vec<String> {
    let tokens = tokens.clone().into_iter();
    tokens.filter(|token| matches!(token, TokenTree::Ident(_))).map(|t| t.to_string()).collect()
}

fn punct(tokens: &[TokenTree], at: usize, mark: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// The last line of a group in braces, and `None` for any other token.
fn end_of_braces(token: &TokenTree) -> Option<usize> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            Some(group.span_close().end().line)
        }
        _ => None,
    }
}

/// The path's segments; an empty one stands before a path with leading colons.
fn path_of(path: &syn::Path) -> Vec<String> {
    let leading = path.leading_colon.map(|_| String::new());
    leading.into_iter().chain(path.segments.iter().map(|s| s.ident.to_string())).collect()
}

/// Appends a name to a path, in which `self` at the end adds nothing.
fn joined(prefix: &[String], name: &Ident) -> Vec<String> {
    let mut path = prefix.to_vec();
    if name != "self" || path.is_empty() {
        path.push(name.to_string());
    }
    path
}

fn line_of(ident: &Ident) -> usize {
    ident.span().start().line
}
