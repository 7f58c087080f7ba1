using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Librarian.Contracts;

/// <summary>
/// A file name inside a store or a staging directory, in the one normal form that the wire echoes (docs/spec/wire.md#paths): repeated "/"
/// collapsed, "." components and a trailing "/" dropped. A name may contain anything else that a file system and the catalog's database can
/// hold, including line breaks and escape characters, so code that shows a name to people escapes it (<see cref="ShownText"/>). A value of
/// this type cannot lead out of its directory; texts that could are refused, not repaired.
/// </summary>
public sealed record FileName
{
    /// <summary>Upper limit of a file name's length, in Unicode characters (docs/spec/wire.md#lengths).</summary>
    public const int MaxLength = 256;

    /// <summary>Upper limit of a component's length, in bytes of UTF-8.</summary>
    public const int MaxComponentBytes = 255;

    /// <summary>The directory below the store root that holds work in progress; never a file's name.</summary>
    public const string WorkingDirectory = ".librarian";

    private FileName(string value, string[] components)
    {
        Value = value;
        Components = components;
    }

    /// <summary>The normal form, relative, with "/" between components.</summary>
    public string Value { get; }

    /// <summary>The components in order; at least one.</summary>
    public IReadOnlyList<string> Components { get; }

    /// <summary>Normalises a text that a client sent, or says why it is not a file name.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out FileName? path, out FileNameRefusal refusal)
    {
        path = null;
        refusal = Check(text, out var components);
        if (refusal != FileNameRefusal.None)
            return false;
        path = new FileName(string.Join('/', components), components);
        return true;
    }

    /// <summary>A sentence about a refusal, for an error's reason and suggested remedy.</summary>
    public static string Describe(FileNameRefusal refusal) =>
        refusal switch
        {
            FileNameRefusal.None => "The path is acceptable.",
            FileNameRefusal.Empty => "The path is empty. Give the file a name.",
            FileNameRefusal.Absolute => "The path is absolute. Give a path relative to the store, without a leading slash.",
            FileNameRefusal.ParentReference => "The path has a '..' component. Give the path without it.",
            FileNameRefusal.ZeroCharacter => "The path has a zero character. Remove it from the name.",
            FileNameRefusal.NotUnicode => "The path is not valid Unicode. Use a name that is.",
            FileNameRefusal.TooLong => $"The path is longer than {MaxLength} characters. Use a shorter one.",
            FileNameRefusal.ComponentTooLong => $"A component of the path is longer than {MaxComponentBytes} bytes. Use a shorter one.",
            FileNameRefusal.Reserved => $"Paths below '{WorkingDirectory}' belong to the store itself. Use another name.",
            _ => throw new ArgumentOutOfRangeException(nameof(refusal), refusal, "Unknown refusal."),
        };

    /// <summary>Whether the other name is equal to this one or below it.</summary>
    public bool Contains(FileName other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return other.Value.StartsWith(Value, StringComparison.Ordinal)
            && (other.Value.Length == Value.Length || other.Value[Value.Length] == '/');
    }

    /// <inheritdoc/>
    public bool Equals(FileName? other) => other is not null && string.Equals(Value, other.Value, StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Value);

    /// <summary>The normal form.</summary>
    public override string ToString() => Value;

    private static FileNameRefusal Check(string? text, out string[] components)
    {
        components = [];
        if (string.IsNullOrEmpty(text))
            return FileNameRefusal.Empty;
        if (text[0] == '/')
            return FileNameRefusal.Absolute;

        if (text.Contains('\0', StringComparison.Ordinal))
            return FileNameRefusal.ZeroCharacter;
        if (!PathBytes.IsUnicode(text))
            return FileNameRefusal.NotUnicode;

        var normal = PathText.Normalise(text);
        if (normal == ".")
            return FileNameRefusal.Empty;
        components = normal.Split('/');
        if (components.Contains("..", StringComparer.Ordinal))
            return FileNameRefusal.ParentReference;
        if (string.Equals(components[0], WorkingDirectory, StringComparison.Ordinal))
            return FileNameRefusal.Reserved;
        if (components.Sum(component => component.EnumerateRunes().Count()) + components.Length - 1 > MaxLength)
            return FileNameRefusal.TooLong;
        return components.Any(component => Encoding.UTF8.GetByteCount(component) > MaxComponentBytes)
            ? FileNameRefusal.ComponentTooLong
            : FileNameRefusal.None;
    }
}
