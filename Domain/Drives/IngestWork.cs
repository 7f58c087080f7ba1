using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;

namespace Librarian.Domain.Drives;

/// <summary>The work on one window of a manifest: what is decided, what is to be copied, and why something stays undecided.</summary>
internal sealed class IngestWork
{
    internal List<IngestDecision> Decisions { get; } = [];

    /// <summary>Entries whose data are wanted from the drive.</summary>
    internal List<IngestEntry> Open { get; } = [];

    /// <summary>Catalogued files whose copies are not proven yet.</summary>
    internal List<FileFinding> Later { get; } = [];

    /// <summary>Reservations by name; they end with the round.</summary>
    internal Dictionary<string, IncomingTransfer> Reservations { get; } = new(StringComparer.Ordinal);

    /// <summary>The store that takes the open entries; null when none is open.</summary>
    internal SiteStore? Store { get; set; }

    /// <summary>Why an entry stays undecided; null when none does.</summary>
    internal IngestRoundResult? Wait { get; set; }

    /// <summary>Whether no entry was put off.</summary>
    internal bool IsWhole { get; set; } = true;

    /// <summary>False when nothing in the window fits on any store.</summary>
    internal bool Fits { get; set; } = true;
}
