//! Resolves the paths in sources to modules, to the files that define items, and to other crates.
//!
//! It knows modules, imports, globs, renames and re-exports. It knows no types: a call such as
//! `value.method()` names nothing here, and `Type::method()` names the file of `Type`.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Import, Scope};
use super::tree::{SourceFile, Tree};

/// The name by which the binary knows the library.
const PACKAGE: &str = "imagepool";

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A module, by its index.
    Module(usize),
    /// Something that is defined in a module, by the module's index.
    Item(usize),
    /// A path into another crate.
    Extern(Vec<String>),
}

/// A place where a source names something.
pub(super) struct Reference<'a> {
    pub file: &'a SourceFile,
    pub line: usize,
    pub path: String,
    pub targets: Vec<Target>,
    /// Whether it is an import that a module passes on from a module below it.
    pub passed_up: bool,
}

/// A module of the program that is not for tests only.
pub(super) struct Module<'a> {
    /// Path from the crate's root, or `main` for the binary.
    pub path: Vec<String>,
    pub file: &'a SourceFile,
    scope: &'a Scope,
    parent: Option<usize>,
}

/// All modules of the program.
pub(super) struct Names<'a> {
    pub modules: Vec<Module<'a>>,
    by_path: BTreeMap<Vec<String>, usize>,
    /// Paths of files that are for tests only.
    pub tests: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    pub fn read(tree: &'a Tree) -> Self {
        let tests = files_for_tests(tree);
        let mut modules = Vec::new();
        for file in tree.sources().filter(|file| !tests.contains(file.path.as_str())) {
            for scope in &file.facts.scopes {
                let mut path = module_path(&file.path);
                path.extend(scope.below.iter().cloned());
                modules.push(Module { path, file, scope, parent: None });
            }
        }
        let by_path: BTreeMap<Vec<String>, usize> =
            modules.iter().enumerate().map(|(at, module)| (module.path.clone(), at)).collect();
        for module in &mut modules {
            let above = module.path.split_last().map(|(_, above)| above);
            module.parent = above.and_then(|above| by_path.get(above)).copied();
        }
        Self { modules, by_path, tests }
    }

    /// Every reference outside tests: a module's imports first, then what its paths add to them.
    pub fn references(&self) -> Vec<Reference<'a>> {
        let mut references = Vec::new();
        for (at, module) in self.modules.iter().enumerate() {
            let file = module.file;
            let mut imported: BTreeMap<&str, Vec<Target>> = BTreeMap::new();
            for import in &module.scope.imports {
                let targets = self.resolve(at, &import.path, true, &mut Vec::new());
                let passed_up = import.exported && self.are_below(at, &targets);
                if let (false, Some(alias)) = (passed_up, &import.alias) {
                    imported.entry(alias).or_default().extend(targets.clone());
                }
                let (line, path) = (import.line, import.path.join("::"));
                references.push(Reference { file, line, path, targets, passed_up });
            }
            for mention in &module.scope.mentions {
                let first = &mention.path[0];
                let hidden = mention.path.len() == 1 && module.scope.bound.contains(first);
                if hidden {
                    continue;
                }
                let targets = self.resolve(at, &mention.path, false, &mut Vec::new());
                if imported.get(first.as_str()) == Some(&targets) {
                    continue;
                }
                let (line, path) = (mention.line, mention.path.join("::"));
                references.push(Reference { file, line, path, targets, passed_up: false });
            }
        }
        references
    }

    fn are_below(&self, module: usize, targets: &[Target]) -> bool {
        targets.iter().all(|target| match target {
            Target::Module(at) | Target::Item(at) => {
                self.modules[*at].path.starts_with(&self.modules[module].path)
            }
            Target::Extern(_) => false,
        })
    }

    fn root(&self, module: usize) -> Option<usize> {
        match self.modules[module].parent {
            Some(parent) if self.modules[module].path != ["main"] => self.root(parent),
            _ => Some(module),
        }
    }

    /// What a path in a module leads to. `trail` holds the names that are being looked up.
    fn resolve(
        &self,
        module: usize,
        path: &[String],
        import: bool,
        trail: &mut Vec<(usize, String)>,
    ) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let targets: Vec<Target> = match first.as_str() {
            "" => match rest.split_first() {
                Some((first, rest)) => return self.follow(outside(first), rest, trail),
                None => return Vec::new(),
            },
            "crate" => self.root(module).map(Target::Module).into_iter().collect(),
            "self" => vec![Target::Module(module)],
            "super" => self.modules[module].parent.map(Target::Module).into_iter().collect(),
            "Self" => return Vec::new(),
            PACKAGE => {
                self.by_path.get([].as_slice()).map(|at| Target::Module(*at)).into_iter().collect()
            }
            name => self.look_up(module, name, trail),
        };
        if !targets.is_empty() {
            return self.follow(targets, rest, trail);
        }
        if rest.is_empty() && !import {
            return self.macro_from_above(module, first).into_iter().collect();
        }
        self.follow(outside(first), rest, trail)
    }

    fn follow(
        &self,
        mut targets: Vec<Target>,
        rest: &[String],
        trail: &mut Vec<(usize, String)>,
    ) -> Vec<Target> {
        for name in rest {
            // A module may bear the name of a function; only the module has something in it.
            if targets.iter().any(|target| matches!(target, Target::Module(_))) {
                targets.retain(|target| !matches!(target, Target::Item(_)));
            }
            let mut next = Vec::new();
            for target in targets {
                match target {
                    Target::Module(at) if name == "super" => {
                        next.extend(self.modules[at].parent.map(Target::Module));
                    }
                    Target::Module(at) => {
                        let found = self.look_up(at, name, trail);
                        // What a macro defines is not found; it is taken to be in that module.
                        let defined = || vec![Target::Item(at)];
                        next.extend(if found.is_empty() { defined() } else { found });
                    }
                    Target::Item(at) => next.push(Target::Item(at)),
                    Target::Extern(mut path) => {
                        path.push(name.clone());
                        next.push(Target::Extern(path));
                    }
                }
            }
            next.dedup();
            targets = next;
        }
        targets
    }

    /// What a name means in a module: its own items and modules, its imports, then its globs.
    fn look_up(&self, at: usize, name: &str, trail: &mut Vec<(usize, String)>) -> Vec<Target> {
        let module = &self.modules[at];
        let mut targets = Vec::new();
        if module.scope.items.contains(name) {
            targets.push(Target::Item(at));
        }
        let mut below = module.path.clone();
        below.push(name.to_owned());
        targets.extend(self.by_path.get(&below).map(|child| Target::Module(*child)));
        // An import such as `use convert::convert` asks for the name that it gives.
        if trail.iter().any(|(module, asked)| *module == at && asked == name) {
            return targets;
        }
        trail.push((at, name.to_owned()));
        let imports = |glob: bool| {
            module.scope.imports.iter().filter(move |import| import.alias.is_none() == glob)
        };
        for import in imports(false).filter(|import| import.alias.as_deref() == Some(name)) {
            targets.extend(self.resolve(at, &import.path, true, trail));
        }
        if targets.is_empty() {
            targets = self.look_up_in_globs(at, name, imports(true), trail);
        }
        trail.pop();
        targets.dedup();
        targets
    }

    fn look_up_in_globs<'b>(
        &self,
        at: usize,
        name: &str,
        globs: impl Iterator<Item = &'b Import>,
        trail: &mut Vec<(usize, String)>,
    ) -> Vec<Target> {
        let mut targets = Vec::new();
        for glob in globs {
            for target in self.resolve(at, &glob.path, true, trail) {
                if let Target::Module(module) = target {
                    targets.extend(self.look_up(module, name, trail));
                }
            }
        }
        targets
    }

    /// A macro of a module above, which is seen below it without a path.
    fn macro_from_above(&self, at: usize, name: &str) -> Option<Target> {
        let parent = self.modules[at].parent?;
        if self.modules[parent].scope.macros.contains(name) {
            return Some(Target::Item(parent));
        }
        self.macro_from_above(parent, name)
    }
}

fn outside(name: &str) -> Vec<Target> {
    vec![Target::Extern(vec![name.to_owned()])]
}

/// The path of a file's module: empty for the library's root, `main` for the binary.
pub(super) fn module_path(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The files that only `#[cfg(test)] mod name;` leads to.
fn files_for_tests(tree: &Tree) -> BTreeSet<&str> {
    let mut roots = Vec::new();
    for file in tree.sources() {
        for scope in &file.facts.scopes {
            for (child, _) in scope.children.iter().filter(|(_, is_for_tests)| *is_for_tests) {
                let mut path = module_path(&file.path);
                path.extend(scope.below.iter().cloned());
                path.push(child.clone());
                roots.push(path);
            }
        }
    }
    let for_tests = |file: &&SourceFile| {
        let path = module_path(&file.path);
        roots.iter().any(|root| path.starts_with(root))
    };
    tree.sources().filter(for_tests).map(|file| file.path.as_str()).collect()
}
