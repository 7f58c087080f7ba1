using Microsoft.DurableTask.Worker;

namespace Librarian.Durable.Engine;

/// <summary>Compares version texts.</summary>
internal static class VersionOrder
{
    /// <summary>
    /// Compares as numbers if both are numbers ("2" equals "2.0" and is older than "10"), otherwise as ordinal text; empty is the oldest.
    /// </summary>
    public static int Compare(string left, string right)
    {
        if (left.Length == 0 || right.Length == 0)
            return left.Length.CompareTo(right.Length);
        return TryParse(left) is { } a && TryParse(right) is { } b ? a.CompareTo(b) : string.CompareOrdinal(left, right);
    }

    /// <summary>Whether a worker with these settings runs instances of that version.</summary>
    public static bool Takes(this DurableTaskWorkerOptions.VersioningOptions versioning, string version) =>
        versioning.MatchStrategy switch
        {
            DurableTaskWorkerOptions.VersionMatchStrategy.Strict => Compare(version, versioning.Version) == 0,
            DurableTaskWorkerOptions.VersionMatchStrategy.CurrentOrOlder => Compare(version, versioning.Version) <= 0,
            _ => true,
        };

    private static Version? TryParse(string text) =>
        Version.TryParse(text.Contains('.', StringComparison.Ordinal) ? text : text + ".0", out var version) ? Normalise(version) : null;

    // 1.2 and 1.2.0 are the same version; System.Version stores missing parts as -1.
    private static Version Normalise(Version version) =>
        new(version.Major, version.Minor, Math.Max(0, version.Build), Math.Max(0, version.Revision));
}
