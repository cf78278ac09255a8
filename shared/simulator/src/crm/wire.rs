//! How a company looks on the wire.

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use super::properties::Property;
use crate::book::Record;
use crate::clock::iso_millis;

/// A company with the properties that were asked for, serialised straight from the record.
pub(super) struct CompanyView<'a> {
    pub record: &'a Record,
    pub properties: &'a [Property],
}

impl Serialize for CompanyView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut company = serializer.serialize_struct("Company", 5)?;
        company.serialize_field("id", &*self.record.id)?;
        company.serialize_field("properties", &PropertiesView(self))?;
        company.serialize_field("createdAt", &iso_millis(self.record.created_ms))?;
        company.serialize_field("updatedAt", &iso_millis(self.record.updated_ms))?;
        company.serialize_field("archived", &self.record.archived)?;
        company.end()
    }
}

/// Every value is text; a property without a value is `null`.
struct PropertiesView<'a>(&'a CompanyView<'a>);

impl Serialize for PropertiesView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CompanyView { record, properties } = self.0;
        let mut map = serializer.serialize_map(Some(properties.len()))?;
        for property in properties.iter() {
            let value = property.value(record);
            map.serialize_entry(
                property.name(),
                &Some(value).filter(|text| !text.is_empty()),
            )?;
        }
        map.end()
    }
}

/// A page of companies.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    pub results: Vec<CompanyView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paging: Option<Paging>,
}

#[derive(Serialize)]
pub(super) struct Paging {
    next: NextPage,
}

#[derive(Serialize)]
struct NextPage {
    after: String,
}

impl Paging {
    pub(super) fn after(after: String) -> Paging {
        Paging {
            next: NextPage { after },
        }
    }
}
