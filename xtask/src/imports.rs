//! Import circles between the product's files: `cargo xtask check` prints any, and there must be none.
//!
//! An arrow leads from a file to the file that defines a name which it imports; names that are handed on by `pub use`
//! lead to where they are defined. A folder's `mod.rs` may use what the folder contains without an arrow: it is the
//! folder's face.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use syn::{Item, UseTree, Visibility, visit::Visit};

/// A module's path from the crate's root, as `["sim", "continuous"]`; the root's is empty.
type Name = Vec<String>;

/// What a file says of names.
#[derive(Default)]
struct Module {
    file: PathBuf,
    /// Names that it hands on, and the paths that they have.
    handed_on: BTreeMap<String, Name>,
    /// Paths that it imports or names in full, from the crate's root.
    imports: BTreeSet<Name>,
}

/// Finds circles in `src`.
///
/// Errors: a circle, with the files and the names that tie it; or a file that is not Rust.
pub fn check(root: &Path) -> Result<()> {
    let mut modules = BTreeMap::new();
    read(&root.join("src"), &Vec::new(), &mut modules)?;
    let circles = circles(&arrows(&modules));
    if circles.is_empty() {
        println!("== Import circles\n   none in {} files", modules.len());
        return Ok(());
    }
    bail!("import circles:\n{}", circles.join("\n"))
}

/// Reads the files of a folder and those below it.
fn read(folder: &Path, name: &Name, modules: &mut BTreeMap<Name, Module>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut inner = name.clone();
        if path.is_dir() {
            inner.push(stem.into_owned());
            read(&path, &inner, modules)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            if !["mod", "lib"].contains(&&*stem) {
                inner.push(stem.into_owned());
            }
            let text = fs::read_to_string(&path)?;
            let file = syn::parse_file(&text).with_context(|| format!("{}", path.display()))?;
            let mut module = Module {
                file: path.clone(),
                ..Module::default()
            };
            Reader {
                name: &inner,
                module: &mut module,
            }
            .visit_file(&file);
            modules.insert(inner, module);
        }
    }
    Ok(())
}

struct Reader<'a> {
    name: &'a Name,
    module: &'a mut Module,
}

impl Reader<'_> {
    /// A path from the crate's root; `None` of another crate.
    fn absolute(&self, path: &[String]) -> Option<Name> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => self.name.clone(),
            "super" => self.name[..self.name.len().checked_sub(1)?].to_vec(),
            _ => return None,
        };
        for part in &path[1..] {
            match part.as_str() {
                "super" => {
                    base.pop()?;
                }
                part => base.push(part.to_owned()),
            }
        }
        Some(base)
    }

    fn tree(&mut self, tree: &UseTree, before: &[String], handed_on: bool) {
        let mut path = before.to_vec();
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.tree(&inner.tree, &path, handed_on);
            }
            UseTree::Group(group) => {
                for inner in &group.items {
                    self.tree(inner, &path, handed_on);
                }
            }
            UseTree::Name(name) => {
                let last = name.ident.to_string();
                let known = if last == "self" {
                    path.last().cloned()
                } else {
                    path.push(last.clone());
                    Some(last)
                };
                self.import(&path, known.filter(|_| handed_on));
            }
            UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                let known = name.rename.to_string();
                self.import(&path, handed_on.then_some(known));
            }
            UseTree::Glob(_) => self.import(&path, None),
        }
    }

    /// `known`: the name under which it is handed on.
    fn import(&mut self, path: &[String], known: Option<String>) {
        // A name of a module of this one needs no `self`.
        let own = || [self.name.clone(), path.to_vec()].concat();
        let target = match self.absolute(path) {
            Some(target) => target,
            None if known.is_some() => own(),
            None => return,
        };
        if let Some(known) = known {
            self.module.handed_on.insert(known, target);
        } else {
            self.module.imports.insert(target);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(module) => &module.attrs,
            Item::Use(import) => &import.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        // Tests may look anywhere.
        let of_tests = attributes.iter().any(|attribute| {
            let list = attribute.meta.require_list();
            attribute.path().is_ident("cfg") && list.is_ok_and(|l| l.tokens.to_string() == "test")
        });
        if of_tests {
            return;
        }
        match item {
            Item::Use(import) => {
                let handed_on = !matches!(import.vis, Visibility::Inherited);
                self.tree(&import.tree, &[], handed_on);
            }
            _ => syn::visit::visit_item(self, item),
        }
    }

    /// Paths that are written in full, without an import.
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if parts.len() > 1
            && let Some(target) = self.absolute(&parts)
        {
            self.module.imports.insert(target);
        }
        syn::visit::visit_path(self, path);
    }
}

/// The module that defines what a path names.
fn defines<'a>(
    modules: &'a BTreeMap<Name, Module>,
    path: &[String],
    deep: u32,
) -> Option<&'a Name> {
    let mut at: Name = Vec::new();
    for (i, part) in path.iter().enumerate() {
        let mut inner = at.clone();
        inner.push(part.clone());
        if modules.contains_key(&inner) {
            at = inner;
            continue;
        }
        let handed_on = modules.get(&at).and_then(|m| m.handed_on.get(part));
        return match handed_on {
            Some(target) if deep > 0 => {
                let whole = [target.as_slice(), &path[i + 1..]].concat();
                defines(modules, &whole, deep - 1)
            }
            _ => modules.get_key_value(&at).map(|(name, _)| name),
        };
    }
    modules.get_key_value(&at).map(|(name, _)| name)
}

/// By file, the files that it imports from.
fn arrows(modules: &BTreeMap<Name, Module>) -> BTreeMap<&Path, BTreeSet<&Path>> {
    let mut arrows = BTreeMap::new();
    for (name, module) in modules {
        let targets = module
            .imports
            .iter()
            .filter_map(|path| defines(modules, path, 9));
        // What a folder contains is its own.
        let outside = targets.filter(|target| !target.starts_with(name));
        let files: BTreeSet<&Path> = outside
            .map(|target| modules[target].file.as_path())
            .collect();
        arrows.insert(module.file.as_path(), files);
    }
    arrows
}

/// Each circle as a line: files that reach each other.
fn circles(arrows: &BTreeMap<&Path, BTreeSet<&Path>>) -> Vec<String> {
    let reached = |from: &Path| {
        let mut seen: BTreeSet<&Path> = BTreeSet::new();
        let mut next: Vec<&Path> = arrows.get(from).into_iter().flatten().copied().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(arrows.get(file).into_iter().flatten());
            }
        }
        seen
    };
    let all: BTreeMap<&Path, BTreeSet<&Path>> =
        arrows.keys().map(|&file| (file, reached(file))).collect();
    let mut told: BTreeSet<&Path> = BTreeSet::new();
    let mut lines = Vec::new();
    for (&file, reach) in &all {
        if !reach.contains(file) || told.contains(file) {
            continue;
        }
        let circle: Vec<&Path> = reach
            .iter()
            .copied()
            .filter(|&f| all[f].contains(file))
            .collect();
        told.extend(&circle);
        let names: Vec<String> = circle
            .iter()
            .map(|from| {
                let to = arrows[from].iter().filter(|to| circle.contains(to));
                let to: Vec<_> = to.map(|to| short(to)).collect();
                format!("     {} -> {}", short(from), to.join(", "))
            })
            .collect();
        lines.push(format!("   {} files:\n{}", circle.len(), names.join("\n")));
    }
    lines
}

fn short(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    let from = parts.iter().rposition(|part| part == "src").unwrap_or(0);
    parts[from..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh;

    #[test]
    fn the_product_has_none() -> Result<()> {
        check(&sh::root())
    }

    #[test]
    fn a_circle_is_found_through_names_that_are_handed_on() -> Result<()> {
        let root = sh::root().join("target/xtask/imports");
        let _ = fs::remove_dir_all(&root);
        let write = |file: &str, text: &str| -> Result<()> {
            let path = root.join("src").join(file);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            Ok(fs::write(path, text)?)
        };
        write("lib.rs", "mod a; mod b; pub use a::A;")?;
        write(
            "a/mod.rs",
            "mod one; pub use one::A; pub fn face() { one::go() }",
        )?;
        write("a/one.rs", "use super::face; pub struct A; pub fn go() {}")?;
        write(
            "b.rs",
            "use crate::A;\n#[cfg(test)] mod tests { use crate::c::C; }",
        )?;
        check(&root)?;
        write("a/one.rs", "pub struct A; pub fn go() { crate::b::tell() }")?;
        let found = check(&root).unwrap_err().to_string();
        assert!(
            found.ends_with(
                "2 files:\n     src/a/one.rs -> src/b.rs\n     src/b.rs -> src/a/one.rs"
            ),
            "{found}"
        );
        Ok(())
    }
}
