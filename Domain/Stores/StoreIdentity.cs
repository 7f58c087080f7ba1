using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Formats;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>Content of the identity file in a store's directory (docs/formats/store-v1.md).</summary>
/// <param name="StoreId">The store's identity, which never changes.</param>
/// <param name="Site">Name of the site that owns the store; null in a file of the first format, which had only the identity.</param>
/// <param name="Store">The store's name at that site; null likewise.</param>
public sealed record StoreIdentity(Guid StoreId, string? Site, string? Store)
{
    /// <summary>Path of the file below the store root.</summary>
    public const string MarkerFileName = FileName.WorkingDirectory + "/" + Name;

    /// <summary>Upper limit of the file's length in bytes; a longer file is refused.</summary>
    public const int MaxBytes = 4096;

    internal const string Name = "store-id";
    private const string Format = "librarian-store";
    private const int Version = 1;
    private const int MaxName = 256;
    private const uint Private = 0x1c0;
    private const uint Readable = 0x1a4;

    private static readonly EntryName s_working = new(FileName.WorkingDirectory);
    private static readonly EntryName s_name = new(Name);

    /// <summary>Parses a file's content.</summary>
    /// <param name="content">The complete content.</param>
    /// <param name="problem">Why it is not an identity; null if it is one.</param>
    public static StoreIdentity? Parse(ReadOnlySpan<byte> content, out string? problem)
    {
        problem = null;
        if (content.Length > MaxBytes)
            return Refuse($"it is longer than {MaxBytes} bytes", out problem);
        if (Guid.TryParseExact(Encoding.ASCII.GetString(content).Trim(), "D", out var bare) && bare != Guid.Empty)
            return new StoreIdentity(bare, null, null);
        if (FormatJson.Parse(content, StoreIdentityJson.Default.FormatLine) is not { Format: Format } format)
            return Refuse("it is damaged, or no identity of a store", out problem);
        if (format.Version != Version)
        {
            var version = format.Version?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "(none)";
            return Refuse($"its format has version {version}, and this program reads version {Version}", out problem);
        }

        return
            FormatJson.Parse(content, StoreIdentityJson.Default.StoreIdentityFile) is { } file
            && file.StoreId != Guid.Empty
            && IsName(file.Site)
            && IsName(file.Store)
            ? new StoreIdentity(file.StoreId, file.Site, file.Store)
            : Refuse("it is damaged", out problem);
    }

    public byte[] ToBytes()
    {
        if (!IsName(Site) || !IsName(Store))
            throw new InvalidOperationException($"'{Site}' and '{Store}' cannot stand in the identity of a store.");
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, FormatJson.Indented))
            JsonSerializer.Serialize(
                json,
                new StoreIdentityFile(Format, Version, StoreId, Site!, Store!),
                StoreIdentityJson.Default.StoreIdentityFile
            );
        bytes.WriteByte((byte)'\n');
        return bytes.ToArray();
    }

    /// <summary>
    /// Reads the identity below an open directory. Follows no link and opens only a regular file, so that only the directory itself can
    /// prove its identity.
    /// </summary>
    /// <param name="root">The store's directory.</param>
    /// <param name="known">Content that need not be parsed again.</param>
    /// <param name="content">
    /// The content that was read, or <paramref name="known"/> itself if it is equal; null if there is no such file.
    /// </param>
    /// <param name="problem">Why the file is not an identity.</param>
    /// <returns>Null if there is no identity, if there is a <paramref name="problem"/>, or if the content is the known one.</returns>
    internal static StoreIdentity? Read(PosixDirectory root, byte[]? known, out byte[]? content, out string? problem)
    {
        (content, problem) = (null, null);
        try
        {
            using var working = root.TryOpenDirectory(s_working);
            if (working?.Status(s_name) is not { } status)
                return null;
            if (status.Type != EntryType.RegularFile)
                return Refuse("it is a link, or no file at all", out problem);
            using var file = working.OpenFile(s_name);
            Span<byte> buffer = stackalloc byte[MaxBytes + 1];
            var length = 0;
            while (length < buffer.Length && file.Read(buffer[length..]) is > 0 and var read)
                length += read;
            if (known is not null && buffer[..length].SequenceEqual(known))
            {
                content = known;
                return null;
            }

            content = buffer[..length].ToArray();
            return Parse(content, out problem);
        }
        catch (PosixException e)
        {
            return Refuse($"it cannot be read: {e.Message}", out problem);
        }
    }

    /// <summary>Gives a directory this identity, which is on disk when the call returns.</summary>
    /// <remarks>
    /// The file is written under a temporary name, flushed, and then renamed. A crash before the rename leaves the previous file and a
    /// <c>store-id.*.new</c>, which the next call removes; a crash after it leaves the new file.
    /// </remarks>
    /// <param name="root">The store's directory.</param>
    /// <param name="replace">Whether to replace an existing identity.</param>
    /// <returns>False if another process created an identity meanwhile and <paramref name="replace"/> is false.</returns>
    /// <exception cref="IOException">
    /// The file system is full, failing or read-only. The previous file is unchanged, except after a failure of the final flush.
    /// </exception>
    internal bool Write(PosixDirectory root, bool replace)
    {
        root.MakeDirectory(s_working, Private);
        using var working = root.OpenDirectory(s_working);
        RemoveLeftovers(working);
        var temporary = new EntryName($"{Name}.{Guid.NewGuid():N}.new");
        try
        {
            using (var file = working.CreateFile(temporary, Readable))
            {
                file.Write(ToBytes());
                file.Sync();
            }

            if (!Publish(working, temporary, replace))
                return false;
        }
        catch (PosixException)
        {
            TreeRemoval.Remove(working, temporary, CancellationToken.None);
            throw;
        }

        working.Sync();
        root.Sync();
        return true;
    }

    private static bool Publish(PosixDirectory working, EntryName temporary, bool replace)
    {
        if (replace)
        {
            working.Rename(temporary, working, s_name);
            return true;
        }

        try
        {
            working.RenameWithoutReplacing(temporary, working, s_name);
            return true;
        }
        catch (PosixException e) when (e.Errno is Errno.Exists)
        {
            working.RemoveFile(temporary);
            return false;
        }
        catch (PosixException e) when (e.Errno is Errno.Invalid or Errno.NotImplemented or Errno.NotSupported)
        {
            // NFS has no such rename. A hard link does not replace anything either.
            try
            {
                working.Link(temporary, working, s_name);
                working.RemoveFile(temporary);
                return true;
            }
            catch (PosixException taken) when (taken.Errno is Errno.Exists)
            {
                working.RemoveFile(temporary);
                return false;
            }
        }
    }

    private static void RemoveLeftovers(PosixDirectory working)
    {
        using var entries = working.OpenStream();
        while (entries.TryRead(out var entry))
        {
            if (
                entry.Name.ToString() is var name
                && name.StartsWith(Name + ".", StringComparison.Ordinal)
                && name.EndsWith(".new", StringComparison.Ordinal)
            )
                TreeRemoval.Remove(working, entry.Name, CancellationToken.None);
        }
    }

    private static bool IsName(string? name) => name is { Length: > 0 and <= MaxName } && !name.Any(char.IsControl);

    private static StoreIdentity? Refuse(string why, out string? problem)
    {
        problem = why;
        return null;
    }
}

/// <summary>The identity file in the present format.</summary>
internal sealed record StoreIdentityFile(string Format, int Version, Guid StoreId, string Site, string Store);

/// <summary>Ignores unknown keys and refuses missing or duplicate ones.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = false
)]
[JsonSerializable(typeof(FormatLine))]
[JsonSerializable(typeof(StoreIdentityFile))]
internal sealed partial class StoreIdentityJson : JsonSerializerContext;
