namespace Librarian.Domain.Stores;

/// <summary>Type of a member of a directory.</summary>
public enum MemberType
{
    File,
    Directory,
    Link,
}

/// <summary>A member of committed data.</summary>
/// <param name="Type">Its type.</param>
/// <param name="Path">Path below the data, in the encoding of <see cref="PathBytes"/>.</param>
/// <param name="Size">Bytes of a file; otherwise 0.</param>
/// <param name="IsExecutable">Whether a file's owner may execute it.</param>
/// <param name="Target">Target of a link, in the encoding of <see cref="PathBytes"/>.</param>
public readonly record struct ContentMember(MemberType Type, string Path, long Size, bool IsExecutable, string? Target = null);
