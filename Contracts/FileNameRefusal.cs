namespace Librarian.Contracts;

/// <summary>Why a text is not a file name.</summary>
public enum FileNameRefusal
{
    /// <summary>The text is a file name.</summary>
    None,

    /// <summary>Empty, or only "." and "/": it would name the store itself.</summary>
    Empty,

    /// <summary>It begins with "/", and so names something outside the store.</summary>
    Absolute,

    /// <summary>It has a ".." component.</summary>
    ParentReference,

    /// <summary>It has a zero character, which neither a file system nor PostgreSQL can hold.</summary>
    ZeroCharacter,

    /// <summary>It has an unpaired surrogate, which no file name on disk can hold.</summary>
    NotUnicode,

    /// <summary>It is longer than <see cref="FileName.MaxLength"/> characters, the width of the catalog's columns.</summary>
    TooLong,

    /// <summary>
    /// A component is longer than <see cref="FileName.MaxComponentBytes"/> bytes in UTF-8, the limit of common file systems.
    /// </summary>
    ComponentTooLong,

    /// <summary>Its first component is the store's own working directory.</summary>
    Reserved,
}
