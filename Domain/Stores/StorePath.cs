using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Librarian.Domain.Stores;

/// <summary>Why a text is not a path inside a store.</summary>
public enum StorePathRefusal
{
    /// <summary>It is one.</summary>
    None,

    /// <summary>Nothing, or only "." and "/": it would name the store itself.</summary>
    Empty,

    /// <summary>It begins with "/" and so names something outside the store.</summary>
    Absolute,

    /// <summary>It has a ".." component.</summary>
    ParentReference,

    /// <summary>It has a NUL or another control character.</summary>
    ControlCharacter,

    /// <summary>It has an unpaired surrogate, which no file name on disk can hold.</summary>
    NotUnicode,

    /// <summary>It is longer than <see cref="StorePath.MaxLength"/> characters, the width of the catalog's columns.</summary>
    TooLong,

    /// <summary>A component is longer than <see cref="StorePath.MaxComponentBytes"/> bytes in UTF-8, the limit of common filesystems.</summary>
    ComponentTooLong,

    /// <summary>Its first component is the store's own working directory.</summary>
    Reserved,
}

/// <summary>
/// The name of a file inside a store or a staging directory, in the one normal form that the wire echoes (wire.md §3): repeated
/// "/" collapsed, "." components and a trailing "/" dropped. A value of this type cannot leave the directory it is used in; texts
/// that could are refused rather than repaired.
/// </summary>
public sealed record StorePath
{
    /// <summary>Longest path, in Unicode characters (wire.md §3 "Length limits").</summary>
    public const int MaxLength = 256;

    /// <summary>Longest component, in bytes of UTF-8.</summary>
    public const int MaxComponentBytes = 255;

    /// <summary>The directory below the store root that holds work in progress; never a file's name.</summary>
    public const string WorkingDirectory = ".librarian";

    private StorePath(string value, string[] components)
    {
        Value = value;
        Components = components;
    }

    /// <summary>The normal form, relative, with "/" between components.</summary>
    public string Value { get; }

    /// <summary>The components in order; at least one.</summary>
    public IReadOnlyList<string> Components { get; }

    /// <summary>Normalises a text a client sent, or says why it cannot name anything in a store.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out StorePath? path, out StorePathRefusal refusal)
    {
        path = null;
        refusal = Check(text, out var components);
        if (refusal != StorePathRefusal.None)
            return false;
        path = new StorePath(string.Join('/', components), components);
        return true;
    }

    /// <summary>A sentence about a refusal, for an error's reason and suggested remedy.</summary>
    public static string Describe(StorePathRefusal refusal) => refusal switch
    {
        StorePathRefusal.None => "The path is acceptable.",
        StorePathRefusal.Empty => "The path is empty. Give the file a name.",
        StorePathRefusal.Absolute => "The path is absolute. Give a path relative to the store, without a leading slash.",
        StorePathRefusal.ParentReference => "The path has a '..' component. Give the path without it.",
        StorePathRefusal.ControlCharacter => "The path has a control character. Remove it from the name.",
        StorePathRefusal.NotUnicode => "The path is not valid Unicode. Use a name that is.",
        StorePathRefusal.TooLong => $"The path is longer than {MaxLength} characters. Use a shorter one.",
        StorePathRefusal.ComponentTooLong => $"A component of the path is longer than {MaxComponentBytes} bytes. Use a shorter one.",
        StorePathRefusal.Reserved => $"Paths below '{WorkingDirectory}' belong to the store itself. Use another name.",
        _ => throw new ArgumentOutOfRangeException(nameof(refusal), refusal, "Unknown refusal."),
    };

    /// <summary>Whether the other path is equal to this one or lies below it.</summary>
    public bool Contains(StorePath other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return other.Value.StartsWith(Value, StringComparison.Ordinal)
            && (other.Value.Length == Value.Length || other.Value[Value.Length] == '/');
    }

    /// <inheritdoc/>
    public bool Equals(StorePath? other) => other is not null && string.Equals(Value, other.Value, StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Value);

    /// <summary>The normal form.</summary>
    public override string ToString() => Value;

    private static StorePathRefusal Check(string? text, out string[] components)
    {
        components = [];
        if (string.IsNullOrEmpty(text))
            return StorePathRefusal.Empty;
        if (text[0] == '/')
            return StorePathRefusal.Absolute;

        for (var i = 0; i < text.Length; i++)
        {
            if (char.IsControl(text[i]))
                return StorePathRefusal.ControlCharacter;
            if (char.IsSurrogate(text[i]) && !(char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[++i])))
                return StorePathRefusal.NotUnicode;
        }

        components = [.. text.Split('/').Where(component => component is not ("" or "."))];
        if (components.Length == 0)
            return StorePathRefusal.Empty;
        if (components.Contains("..", StringComparer.Ordinal))
            return StorePathRefusal.ParentReference;
        if (string.Equals(components[0], WorkingDirectory, StringComparison.Ordinal))
            return StorePathRefusal.Reserved;
        if (components.Sum(component => component.EnumerateRunes().Count()) + components.Length - 1 > MaxLength)
            return StorePathRefusal.TooLong;
        return components.Any(component => Encoding.UTF8.GetByteCount(component) > MaxComponentBytes)
            ? StorePathRefusal.ComponentTooLong
            : StorePathRefusal.None;
    }
}
