namespace Librarian.Domain.Catalog;

/// <summary>
/// Rights of an account; the numbers are those on the wire (docs/spec/wire.md#levels). A higher level includes all lower ones.
/// </summary>
public enum AuthLevel
{
    /// <summary>Nothing; also the effective level of unknown users and wrong passwords.</summary>
    None = 0,

    /// <summary>Search and validate.</summary>
    ReadOnly = 1,

    /// <summary>Report back on transfers; the account a downstream site uses.</summary>
    Callback = 2,

    /// <summary>Add data; uploaders and upstream sites.</summary>
    ReadAppend = 3,

    /// <summary>As <see cref="ReadAppend"/>; no endpoint tells them apart.</summary>
    ReadWrite = 4,

    /// <summary>Everything.</summary>
    Admin = 100,
}
