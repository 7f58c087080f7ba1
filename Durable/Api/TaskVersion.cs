namespace Librarian.Durable;

/// <summary>Order of version texts.</summary>
internal static class TaskVersion
{
    /// <summary>Numbers where both are numbers ("2" is "2.0"), ordinal text otherwise; empty is the oldest.</summary>
    public static int Compare(string left, string right)
    {
        if (left.Length == 0 || right.Length == 0) return left.Length.CompareTo(right.Length);
        return TryParse(left) is { } a && TryParse(right) is { } b ? a.CompareTo(b) : string.CompareOrdinal(left, right);
    }

    private static Version? TryParse(string text) =>
        System.Version.TryParse(text.Contains('.', StringComparison.Ordinal) ? text : text + ".0", out var version) ? Normalise(version) : null;

    // 1.2 and 1.2.0 are the same version; System.Version holds the missing parts as -1.
    private static Version Normalise(Version version) => new(version.Major, version.Minor, Math.Max(0, version.Build), Math.Max(0, version.Revision));
}

/// <summary>Which versions of orchestrations a worker takes.</summary>
public enum VersionMatchStrategy
{
    /// <summary>All.</summary>
    None,

    /// <summary>Only instances of exactly its own version.</summary>
    Strict,

    /// <summary>Instances of its own version and older ones.</summary>
    CurrentOrOlder,
}

/// <summary>What a worker does with an instance whose version it does not take.</summary>
public enum VersionFailureStrategy
{
    /// <summary>Leaves it to another worker; it waits.</summary>
    Reject,

    /// <summary>Fails it.</summary>
    Fail,
}

/// <summary>Versions of a worker.</summary>
public sealed class VersioningOptions
{
    /// <summary>Version of this worker's code.</summary>
    public string Version { get; set; } = "";

    /// <summary>Version of instances that a client of this process starts without naming one.</summary>
    public string DefaultVersion { get; set; } = "";

    /// <summary>Which instances this worker takes.</summary>
    public VersionMatchStrategy MatchStrategy { get; set; }

    /// <summary>What it does with the others.</summary>
    public VersionFailureStrategy FailureStrategy { get; set; }

    internal bool Takes(string version) => MatchStrategy switch
    {
        VersionMatchStrategy.Strict => TaskVersion.Compare(version, Version) == 0,
        VersionMatchStrategy.CurrentOrOlder => TaskVersion.Compare(version, Version) <= 0,
        _ => true,
    };
}
