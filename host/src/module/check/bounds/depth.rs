//! How deep component types are built of component types. A list of lists of lists of … is one byte a level; whoever walks
//! it by recursion pays a stack frame a level.

use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentExport, ComponentExternalKind, ComponentOuterAliasKind,
    ComponentType, ComponentTypeDeclaration, ComponentTypeRef, ComponentValType, InstanceTypeDeclaration,
};

/// The depths of the types of one component, by their index. A type that comes from elsewhere counts one, where it is not
/// known better: its depth was counted where it was made, and the validator bounds the sum at 100.
#[derive(Default)]
pub(super) struct Depths(Vec<u64>);

impl Depths {
    /// Adds a type; how many types it holds, itself included, and its depth. The reader has bounded how deep
    /// declarations are written in each other (100).
    pub(super) fn add(&mut self, ty: &ComponentType<'_>) -> (u64, u64) {
        let (types, depth) = match ty {
            ComponentType::Defined(defined) => (1, 1 + self.defined(defined)),
            ComponentType::Func(function) => {
                let values = function.params.iter().map(|(_, ty)| *ty).chain(function.result);
                (1, 1 + self.deepest(values))
            }
            ComponentType::Component(declarations) => {
                let mut inner = Self::default();
                declarations.iter().fold((1, 1), |sum, declaration| match declaration {
                    ComponentTypeDeclaration::Type(ty) => plus(sum, inner.add(ty)),
                    ComponentTypeDeclaration::Alias(alias) => {
                        inner.alias(alias, &[&*self]);
                        sum
                    }
                    ComponentTypeDeclaration::Export { ty, .. } => {
                        inner.named(ty);
                        sum
                    }
                    ComponentTypeDeclaration::Import(import) => {
                        inner.named(&import.ty);
                        sum
                    }
                    ComponentTypeDeclaration::CoreType(_) => plus(sum, (1, 0)),
                })
            }
            ComponentType::Instance(declarations) => {
                let mut inner = Self::default();
                declarations.iter().fold((1, 1), |sum, declaration| match declaration {
                    InstanceTypeDeclaration::Type(ty) => plus(sum, inner.add(ty)),
                    InstanceTypeDeclaration::Alias(alias) => {
                        inner.alias(alias, &[&*self]);
                        sum
                    }
                    InstanceTypeDeclaration::Export { ty, .. } => {
                        inner.named(ty);
                        sum
                    }
                    InstanceTypeDeclaration::CoreType(_) => plus(sum, (1, 0)),
                })
            }
            ComponentType::Resource { .. } => (1, 1),
        };
        self.0.push(depth);
        (types, depth)
    }

    /// An alias that may name a type; `outer` are the components around, the innermost last.
    pub(super) fn alias(&mut self, alias: &ComponentAlias<'_>, outer: &[&Self]) {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                let around = usize::try_from(*count).ok().and_then(|count| outer.len().checked_sub(count));
                let scope = around.and_then(|at| outer.get(at));
                self.0.push(scope.map_or(1, |scope| scope.of(*index)));
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. } => self.0.push(1),
            _ => {}
        }
    }

    /// An import or an export in a declaration, which gives a type a second index.
    pub(super) fn named(&mut self, ty: &ComponentTypeRef) {
        if let ComponentTypeRef::Type(bounds) = ty {
            let depth = match bounds {
                wasmparser::TypeBounds::Eq(index) => self.of(*index),
                wasmparser::TypeBounds::SubResource => 1,
            };
            self.0.push(depth);
        }
    }

    /// An export, which gives a type a second index.
    pub(super) fn exported(&mut self, export: &ComponentExport<'_>) {
        if export.kind == ComponentExternalKind::Type {
            self.0.push(self.of(export.index));
        }
    }

    fn defined(&self, ty: &ComponentDefinedType<'_>) -> u64 {
        use ComponentDefinedType::{
            Borrow, Enum, FixedLengthList, Flags, Future, List, Map, Option, Own, Primitive, Record, Result, Stream,
            Tuple, Variant,
        };
        match ty {
            Primitive(_) | Flags(_) | Enum(_) | Own(_) | Borrow(_) => 0,
            Record(fields) => self.deepest(fields.iter().map(|(_, ty)| *ty)),
            Variant(cases) => self.deepest(cases.iter().filter_map(|case| case.ty)),
            Tuple(types) => self.deepest(types.iter().copied()),
            List(ty) | FixedLengthList(ty, _) | Option(ty) => self.deepest([*ty]),
            Map(key, value) => self.deepest([*key, *value]),
            Result { ok, err } => self.deepest(ok.iter().chain(err).copied()),
            Future(ty) | Stream(ty) => self.deepest(ty.iter().copied()),
        }
    }

    fn deepest(&self, types: impl IntoIterator<Item = ComponentValType>) -> u64 {
        let depth = |ty| match ty {
            ComponentValType::Primitive(_) => 0,
            ComponentValType::Type(index) => self.of(index),
        };
        types.into_iter().map(depth).max().unwrap_or(0)
    }

    fn of(&self, index: u32) -> u64 {
        usize::try_from(index).ok().and_then(|index| self.0.get(index)).copied().unwrap_or(1)
    }
}

fn plus((types, depth): (u64, u64), (more, inner): (u64, u64)) -> (u64, u64) {
    (types + more, depth.max(1 + inner))
}
