using System.Collections.Concurrent;
using System.Text.RegularExpressions;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Documentation;

/// <summary>Comments and documents cite files and headings that exist.</summary>
[Quick]
public sealed partial class CitationTests
{
    private static readonly ConcurrentDictionary<string, HashSet<string>> Known = new(StringComparer.Ordinal);

    [Fact]
    public void Citations_EachOfAnyFile_NamesAnExistingDocumentAndAnchor()
    {
        var citations = Found(Citation(), SourceTree.Files);
        var broken = citations.Where(c => !Exists(Path.Combine(SourceTree.Root, Target(c.Match)), Anchor(c.Match)));

        Assert.NotEmpty(citations);
        Assert.Empty(broken.Select(c => SourceTree.Shown(c.File, c.Match.Value)));
    }

    [Fact]
    public void Links_EachOfADocument_LeadsToAnExistingFileAndAnchor()
    {
        var links = Found(Link(), Documents);
        var broken = links.Where(l => !Exists(Resolved(l.File, Target(l.Match)), Anchor(l.Match)));

        Assert.NotEmpty(links);
        Assert.Empty(broken.Select(l => SourceTree.Shown(l.File, l.Match.Value)));
    }

    [Fact]
    public void Comments_CitationWithoutAnchor_IsNowhere()
    {
        var comments = SourceTree
            .Files.Where(file => file.EndsWith(".cs", StringComparison.Ordinal))
            .SelectMany(file => File.ReadLines(file).Select(line => (File: file, Text: Comment().Match(line).Value)));

        Assert.Empty(comments.Where(c => IsVague(c.Text)).Select(c => SourceTree.Shown(c.File, c.Text)));
    }

    [Fact]
    public void Documents_CitationWithoutLink_IsNowhere()
    {
        var lines = Documents.SelectMany(file => File.ReadLines(file).Select(line => (File: file, Text: Linked().Replace(line, ""))));

        Assert.Empty(lines.Where(l => IsVague(l.Text)).Select(l => SourceTree.Shown(l.File, l.Text)));
    }

    [Theory]
    [InlineData("wire.md §3")]
    [InlineData("functions-host.md")]
    [InlineData("as §9.2 says")]
    [InlineData("Rule R9: what")]
    [InlineData("(rules R5, R6)")]
    public void IsVague_NameOrChapterAlone_IsFound(string text) => Assert.True(IsVague(text));

    [Theory]
    [InlineData("docs/spec/wire.md#paths")]
    [InlineData("docs/adr/0006-isolated-worker.md")]
    [InlineData("RFC 9562 §5.5")]
    public void IsVague_CitationThatResolves_IsNotFound(string text) => Assert.False(IsVague(text));

    [Theory]
    [InlineData("### R5b: nobody reaps at once", "r5b-nobody-reaps-at-once")]
    [InlineData("# The `dt_` tables (v2)", "the-dt_-tables-v2")]
    [InlineData("## See [the wire](wire.md)", "see-the-wire")]
    [InlineData("## Twice\n## Twice", "twice twice-1")]
    [InlineData("Text <a id=\"a-rule\"></a>inside.", "a-rule")]
    [InlineData("```\n# no heading\n```\n# Heading", "heading")]
    public void AnchorsOf_HeadingsAndIds_AreThoseOfGitHub(string document, string expected) =>
        Assert.Equal(expected, string.Join(' ', AnchorsOf(document.Split('\n')).Order(StringComparer.Ordinal)));

    private static IEnumerable<string> Documents => SourceTree.Files.Where(file => file.EndsWith(".md", StringComparison.Ordinal));

    private static List<(string File, Match Match)> Found(Regex pattern, IEnumerable<string> files) =>
        [.. files.SelectMany(file => pattern.Matches(File.ReadAllText(file)).Select(match => (file, match)))];

    private static string Target(Match match) => match.Groups["file"].Value;

    private static string Anchor(Match match) => match.Groups["anchor"].Value;

    private static string Resolved(string document, string target) =>
        target.Length == 0 ? document : Path.GetFullPath(target, Path.GetDirectoryName(document)!);

    private static bool Exists(string path, string anchor)
    {
        if (anchor.Length == 0 || !path.EndsWith(".md", StringComparison.Ordinal))
            return Path.Exists(path);
        return File.Exists(path) && Known.GetOrAdd(path, p => AnchorsOf(File.ReadLines(p))).Contains(anchor);
    }

    private static bool IsVague(string text) => Vague().IsMatch(text);

    private static HashSet<string> AnchorsOf(IEnumerable<string> lines)
    {
        var anchors = new HashSet<string>(StringComparer.Ordinal);
        var times = new Dictionary<string, int>(StringComparer.Ordinal);
        var isCode = false;
        foreach (var line in lines)
        {
            if (line.StartsWith("```", StringComparison.Ordinal))
                isCode = !isCode;
            if (isCode)
                continue;
            anchors.UnionWith(Id().Matches(line).Select(match => match.Groups["id"].Value));
            if (Heading().Match(line) is not { Success: true } heading)
                continue;
            var slug = Slug(heading.Groups["text"].Value);
            var before = times.GetValueOrDefault(slug);
            times[slug] = before + 1;
            anchors.Add(before == 0 ? slug : $"{slug}-{before}");
        }

        return anchors;
    }

    private static string Slug(string heading) =>
        NotInSlugs().Replace(Linked().Replace(heading, "${text}").Trim().ToLowerInvariant(), "").Replace(' ', '-');

    [GeneratedRegex(@"\b(?<file>docs/[\w./-]+\.md)(?:#(?<anchor>[\w-]+))?", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Citation();

    // Addresses of other hosts have a colon.
    [GeneratedRegex(@"\]\((?<file>[^)\s:#]*)(?:#(?<anchor>[^)\s]*))?\)", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Link();

    [GeneratedRegex(@"\[(?<text>[^\]]*)\]\([^)]*\)", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Linked();

    [GeneratedRegex("(?<!:)//.*", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Comment();

    [GeneratedRegex(
        @"(?<![\w/-])(?:wire|upstream(?:-behaviour)?|functions-host|isolated-worker|durable(?:-engine)?)\.md|\b[Rr]ules? R[0-9]"
            + "|(?<!RFC [0-9]+ )§",
        RegexOptions.None,
        matchTimeoutMilliseconds: 1000
    )]
    private static partial Regex Vague();

    [GeneratedRegex(@"^#{1,6} (?<text>.*)$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Heading();

    [GeneratedRegex("<a id=\"(?<id>[^\"]+)\"></a>", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Id();

    [GeneratedRegex(@"[^\w\- ]", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex NotInSlugs();
}
