//! What a load knows of the schema and the stored entities, for all that ask it about a query.

use super::Snapshot;
use super::schema_conformity::Conformity;
use super::schema_names::Symbols;
use super::static_entities::StaticEntities;

#[derive(Clone, Copy)]
pub(super) struct SchemaFacts<'f> {
    pub(super) names: &'f Symbols,
    pub(super) stored: &'f StaticEntities,
    pub(super) conformity: &'f Conformity,
}

impl Snapshot {
    pub(super) const fn schema_facts(&self) -> SchemaFacts<'_> {
        SchemaFacts { names: &self.names, stored: &self.stored, conformity: &self.conformity }
    }
}
