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
    internal const int LongestLine = 64 << 10;

    /// <summary>Reads the first line, and checks all others.</summary>
    /// <exception cref="BadListingException">A line is wrong, or the listing is incomplete.</exception>
    internal static ListingHead Check(string path)
    {
        foreach (var _ in ReadMembers(path)) { }
        using var lines = new StreamReader(path);
        return Parse(lines.ReadLine(), WireJson.Wire.ListingHead);
    }

    /// <summary>
    /// The members in order; ends only after the last line was found. Each lies in a directory that came before it, so no path leads
    /// through a link. Holds the paths of the directories.
    /// </summary>
    /// <exception cref="BadListingException">A line is wrong, or the listing is incomplete.</exception>
    internal static IEnumerable<ListedMember> ReadMembers(string path)
    {
        using var lines = new StreamReader(path);
        var isDirectory = Parse(lines.ReadLine(), WireJson.Wire.ListingHead).Directory;
        HashSet<string> directories = new([""], StringComparer.Ordinal);
        for (long members = 0; ; members++)
        {
            var line = Parse(lines.ReadLine(), WireJson.Wire.ListingLine);
            if (line.Members is { } all)
            {
                if (all != members)
                    throw new BadListingException($"The listing has {members} members and says that it has {all}.");
                yield break;
            }

            var member = MemberOf(line, isDirectory);
            if (
                !directories.Contains(
                    member.Path.Contains('/', StringComparison.Ordinal) ? member.Path[..member.Path.LastIndexOf('/')] : ""
                )
            )
                throw new BadListingException($"'{member.Path.Shown()}' lies in no directory of the listing.");
            if (member.Type == "directory" && !directories.Add(member.Path))
                throw new BadListingException($"The directory '{member.Path.Shown()}' is listed twice.");
            yield return member;
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

    /// <summary>
    /// Whether a link leads to something inside. It may go up only at its beginning, where its parents are known to be directories: behind
    /// a component that is itself a link, <c>..</c> could lead anywhere.
    /// </summary>
    private static bool StaysInside(string path, string target)
    {
        if (target.StartsWith('/') || target.Contains('\0', StringComparison.Ordinal))
            return false;
        var parts = target.Split('/');
        var up = parts.TakeWhile(static part => part == "..").Count();
        return up <= path.Count(static c => c == '/') && parts.Skip(up).All(static part => part is not ("" or ".."));
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
