using System.Reflection;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Documentation;

[Quick]
public sealed class SourceTests
{
    private const int Columns = 140;

    [Fact]
    public void Lines_OfCode_HaveAtMost140Columns()
    {
        // CSharpier breaks statements, but neither strings nor comments.
        var code = SourceTree.Files.Where(f =>
            f.EndsWith(".cs", StringComparison.Ordinal) && !f.Contains("/Migrations/", StringComparison.Ordinal)
        );
        var lines = code.SelectMany(file => File.ReadLines(file).Select((text, index) => (File: file, Number: index + 1, Text: text)));

        Assert.Empty(
            lines.Where(line => line.Text.Length > Columns).Select(line => SourceTree.Shown($"{line.File}:{line.Number}", line.Text))
        );
    }

    [Fact]
    public void LogEvents_Ids_AreUnique()
    {
        string[] assemblies = ["Librarian.Domain", "Librarian.Durable", "Librarian.Orchestrations", "librarian-site"];
        const BindingFlags All = BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;
        var events = assemblies
            .SelectMany(name => Assembly.Load(name).GetTypes())
            .SelectMany(type => type.GetMethods(All))
            .Select(method => (Method: method, Event: method.GetCustomAttribute<Microsoft.Extensions.Logging.LoggerMessageAttribute>()))
            .Where(method => method.Event is not null)
            .ToList();

        Assert.True(events.Count > 80, $"only {events.Count} log events were found");
        var twice = events.GroupBy(e => e.Event!.EventId).Where(same => same.Count() > 1);
        Assert.Empty(twice.Select(same => $"{same.Key}: {string.Join(", ", same.Select(e => e.Method.Name))}"));
    }
}
