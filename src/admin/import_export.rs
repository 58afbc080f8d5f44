//! `/members/import` and `/members/export`: members as files.
//!
//! Maps media types to formats; the formats themselves are in the services.

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents::{self, Changed};
use crate::domain::{Failure, Kind};
use crate::http::Reply;
use crate::services::caller::Caller;
use crate::services::import::Format;
use crate::services::{export, import};

pub(super) async fn import(call: &mut ApiRequest<'_>) -> ApiResult {
    match understood(call).await {
        Ok((caller, format)) => {
            let done = import::run(call.app, caller, format, call.request).await?;
            Ok(Reply::json_of(&Changed::<response_documents::ImportReceipt>::from(done)))
        }
        Err(failure) => {
            // A caller that is cut off while it sends a long file would see a broken pipe instead
            // of the response.
            import::drain_body(call.request).await?;
            Err(failure)
        }
    }
}

async fn understood(call: &mut ApiRequest<'_>) -> Result<(Caller, Format), Failure> {
    let format = format_of(call.request.media())?;
    Ok((call.caller().await?, format))
}

fn format_of(media: &str) -> Result<Format, Failure> {
    match media.to_ascii_lowercase().as_str() {
        "text/csv" => Ok(Format::Csv),
        "application/jsonl" | "application/x-ndjson" => Ok(Format::JsonLines),
        _ => Err(Failure::new(
            Kind::Invalid,
            "content_type",
            "unknown file format: send `content-type: text/csv` or `application/jsonl`",
        )),
    }
}

/// The export formats, with their names.
pub(super) const FORMATS: [(&str, Format); 2] =
    [("csv", Format::Csv), ("jsonl", Format::JsonLines)];

/// Whether CSV begins with a byte order mark, for Excel.
pub(super) const MARKS: [(&str, bool); 2] = [("true", true), ("false", false)];

pub(super) async fn export(call: &mut ApiRequest<'_>) -> ApiResult {
    let format = call.params.one_of("format", &FORMATS).unwrap_or(Format::Csv);
    let marked = call.params.one_of("bom", &MARKS).unwrap_or(false);
    let caller = call.caller().await?;
    let (media_type, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "members.csv"),
        Format::JsonLines => ("application/jsonl", "members.jsonl"),
    };
    let pieces = export::run(call.app, caller, export::ExportFormat { format, marked }).await?;
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(Reply::stream(media_type, pieces).header("content-disposition", disposition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_names_a_format() {
        assert_eq!(format_of("Text/CSV"), Ok(Format::Csv));
        assert_eq!(format_of("application/jsonl"), Ok(Format::JsonLines));
        assert_eq!(format_of("application/x-ndjson"), Ok(Format::JsonLines));
        for unknown in ["", "application/json", "text/csvx"] {
            assert_eq!(format_of(unknown).unwrap_err().code, "content_type", "{unknown:?}");
        }
    }
}
