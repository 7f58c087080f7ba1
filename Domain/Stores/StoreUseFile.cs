using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Formats;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>This process, and what it can find out about other processes on this machine.</summary>
/// <param name="Name">A name that no other process has.</param>
/// <param name="IsRunning">Whether the process with a name certainly runs.</param>
/// <param name="HasEnded">
/// Whether it certainly does not run. Neither is certain for a process on another machine or in another container.
/// </param>
public sealed record StoreUser(string Name, Func<string, bool> IsRunning, Func<string, bool> HasEnded);

/// <summary>
/// Prevents two catalogs of a site with the same name (a copy of its data directory, or a restored database beside the old one) from using
/// one store: each would trust files that the other does not know. The file <c>.librarian/in-use</c> names the process that uses the store.
/// </summary>
/// <remarks>
/// No lock is held, so that a store can be unmounted while its site runs. A new process gives way if the process in the file certainly runs
/// on the same machine. Otherwise it takes the store, and the other process finds that out at its next check. Where the file may not be
/// written, nothing else is written either, so it blocks nobody; after any other failure the next check tries again.
/// </remarks>
/// <param name="catalog">
/// Identifies the catalog in use: a new value for each start on SQLite, which serves one process; the same for all processes on one
/// PostgreSQL database.
/// </param>
/// <param name="user">This process.</param>
public sealed class StoreUseFile(string catalog, StoreUser user)
{
    private const string Format = "librarian-store-use";
    private const int Version = 1;
    private const int MaxBytes = 4096;

    private static readonly EntryName s_working = new(FileName.WorkingDirectory);
    private static readonly EntryName s_name = new("in-use");

    private volatile bool _taken;
    private volatile bool _unwritable;

    /// <summary>
    /// Takes the store, or checks that it is still taken. Returns the process with another catalog that uses it, or null.
    /// </summary>
    internal string? Check(PosixDirectory root)
    {
        if (_unwritable)
            return null;
        try
        {
            using var working = root.OpenDirectory(s_working);
            var found = Read(working);
            if (found?.Catalog == catalog)
                return null;
            if (found is not null && found.Process != user.Name && (_taken ? !user.HasEnded(found.Process) : user.IsRunning(found.Process)))
                return found.Process;
            Write(working);
            _taken = true;
        }
        catch (PosixException e)
        {
            _unwritable = e.Errno is Errno.ReadOnlyFileSystem or Errno.AccessDenied or Errno.NotPermitted;
        }

        return null;
    }

    private static StoreUse? Read(PosixDirectory working)
    {
        if (working.Status(s_name) is not { Type: EntryType.RegularFile, Size: <= MaxBytes })
            return null;
        using var file = working.OpenFile(s_name);
        Span<byte> buffer = stackalloc byte[MaxBytes];
        var length = 0;
        while (length < buffer.Length && file.Read(buffer[length..]) is > 0 and var read)
            length += read;
        return FormatJson.Parse(buffer[..length], StoreUseJson.Default.StoreUse) is { Format: Format, Version: Version } use ? use : null;
    }

    private void Write(PosixDirectory working)
    {
        var temporary = new EntryName($"in-use.{Guid.NewGuid():N}.new");
        try
        {
            using (var file = working.CreateFile(temporary, 0x1a4))
                file.Write(
                    JsonSerializer.SerializeToUtf8Bytes(new StoreUse(Format, Version, catalog, user.Name), StoreUseJson.Default.StoreUse)
                );
            working.Rename(temporary, working, s_name);
        }
        catch (PosixException)
        {
            TreeRemoval.Remove(working, temporary, CancellationToken.None);
            throw;
        }
    }
}

/// <summary>Content of the file that names the process which uses a store.</summary>
internal sealed record StoreUse(string Format, int Version, string Catalog, string Process);

/// <summary>Ignores unknown keys and refuses missing or duplicate ones.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = false
)]
[JsonSerializable(typeof(StoreUse))]
internal sealed partial class StoreUseJson : JsonSerializerContext;
