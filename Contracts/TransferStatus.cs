using System.Text.Json.Serialization;

namespace Librarian.Contracts;

/// <summary>State of an incoming or outgoing transfer (docs/spec/wire.md#checkin-update). An integer on the wire.</summary>
[JsonConverter(typeof(IntegerEnumConverter<TransferStatus>))]
public enum TransferStatus
{
    /// <summary>Announced; no data has moved.</summary>
    Initiated = 0,

    /// <summary>Data is moving.</summary>
    Ongoing = 1,

    /// <summary>All data are in the destination's staging area, not yet verified.</summary>
    Staged = 2,

    /// <summary>Verified and catalogued; final.</summary>
    Completed = 3,

    /// <summary>Failed or abandoned; final.</summary>
    Failed = 4,

    /// <summary>Withdrawn; final.</summary>
    Cancelled = 5,
}
