namespace Librarian.Contracts;

/// <summary>Whether two checksums describe the same content.</summary>
public enum ChecksumComparison
{
    /// <summary>Same algorithm, same digest.</summary>
    Equal,

    /// <summary>Same algorithm, different digest: the contents differ.</summary>
    Different,

    /// <summary>Different algorithms, so the contents cannot be compared. Compute the other algorithm's digest and compare again.</summary>
    DifferentAlgorithms,
}
