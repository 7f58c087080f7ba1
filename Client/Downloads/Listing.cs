using System.Text.Json;
using Librarian.Client.Wire;

namespace Librarian.Client.Downloads;

/// <summary>The listing says something that cannot be followed.</summary>
/// <param name="what">One sentence.</param>
internal sealed class BadListingException(string what) : Exception(what);

/// <summary>A member of a listing with a checked path.</summary>
/// <param name="Type"><c>file</c>, <c>directory</c> or <c>link</c>.</param>
/// <param name="Path">Path below the destination, in the encoding of <see cref="PathBytes"/>; empty for a single file.</param>
/// <param name="Size">Bytes of a file.</param>
/// <param name="IsExecutable">Whether a file's owner may execute it.</param>
/// <param name="Target">Target of a link.</param>
internal readonly record struct ListedMember(string Type, string Path, long Size, bool IsExecutable, string? Target);

/// <summary>
/// Reads a listing that was downloaded (docs/spec/data.md#listing). A site is not trusted with paths outside the destination.
/// </summary>
internal static class Listing
{
    private const int LongestLine = 64 << 10;

    /// <exception cref="BadListingException">The first line is missing or wrong.</exception>
    internal static async Task<ListingHead> ReadHeadAsync(string path, CancellationToken cancellationToken)
    {
        using var lines = new StreamReader(path);
        return Parse(await lines.ReadLineAsync(cancellationToken), WireJson.Wire.ListingHead);
    }

    /// <summary>The members in order; ends only after the last line was found.</summary>
    /// <exception cref="BadListingException">A line is wrong, or the listing is incomplete.</exception>
    internal static IEnumerable<ListedMember> ReadMembers(string path)
    {
        using var lines = new StreamReader(path);
        var isDirectory = Parse(lines.ReadLine(), WireJson.Wire.ListingHead).Directory;
        for (long members = 0; ; members++)
        {
            var line = Parse(lines.ReadLine(), WireJson.Wire.ListingLine);
            if (line.Members is { } all)
            {
                if (all != members)
                    throw new BadListingException($"The listing has {members} members and says that it has {all}.");
                yield break;
            }

            yield return MemberOf(line, isDirectory);
        }
    }

    private static ListedMember MemberOf(ListingLine line, bool isDirectory)
    {
        var path = TextOf(line.Path, line.PathBytes) ?? throw new BadListingException("A member has no path.");
        if (isDirectory ? !IsBelow(path) : path.Length > 0)
            throw new BadListingException($"The path '{path.Shown()}' of a member does not lead below the directory.");
        if (line.Type is not ("file" or "directory" or "link") || (!isDirectory && line.Type != "file"))
            throw new BadListingException($"'{path.Shown()}' has the type '{line.Type?.Shown()}'.");
        if (line.Type == "file" && line.Size is not >= 0)
            throw new BadListingException($"The file '{path.Shown()}' has no size.");
        var target = TextOf(line.Target, line.TargetBytes);
        if (line.Type == "link" && (target is null || !StaysInside(path, target)))
            throw new BadListingException($"The link '{path.Shown()}' leads out of the directory, to '{target?.Shown()}'.");
        return new ListedMember(line.Type, path, line.Size ?? 0, line.Executable == true, target);
    }

    private static string? TextOf(string? text, byte[]? bytes) => bytes is null ? text : PathBytes.ToText(bytes);

    private static bool IsBelow(string path) =>
        path.Length > 0
        && !path.Contains('\0', StringComparison.Ordinal)
        && path.Split('/').All(static part => part is not ("" or "." or ".."));

    private static bool StaysInside(string path, string target)
    {
        if (target.Length == 0 || target.StartsWith('/') || target.Contains('\0', StringComparison.Ordinal))
            return false;
        var depth = path.Count(static c => c == '/');
        foreach (var part in target.Split('/'))
        {
            depth += part switch
            {
                "" or "." => 0,
                ".." => -1,
                _ => 1,
            };
            if (depth < 0)
                return false;
        }

        return true;
    }

    private static T Parse<T>(string? line, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> info)
        where T : class
    {
        try
        {
            if (line is { Length: <= LongestLine } && JsonSerializer.Deserialize(line, info) is { } value)
                return value;
        }
        catch (JsonException)
        {
            // The same error as for a line that is missing.
        }

        throw new BadListingException("The listing is incomplete or malformed.");
    }
}
