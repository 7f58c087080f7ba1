using Librarian.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace Librarian.Tests.Functions.Hosting;

[Quick]
public sealed class LogLineFormatterTests
{
    [Fact]
    public void Write_NamesWithLineBreaksAndEscapes_StayInTheirLine()
    {
        using var output = new StringWriter();
        var entry = new LogEntry<string>(
            LogLevel.Warning,
            "Site.Ingest",
            new EventId(2004),
            "obs/a\nfail: forged[1] \u001b[2J\u202e",
            new InvalidOperationException("no\nfail: forged[1]"),
            static (state, _) => state + " is bad"
        );

        using var services = new ServiceCollection()
            .AddLogging(logging => logging.AddConsole().AddConsoleFormatter<LogLineFormatter, ConsoleFormatterOptions>())
            .BuildServiceProvider();
        services.GetServices<ConsoleFormatter>().OfType<LogLineFormatter>().Single().Write(entry, null, output);

        Assert.StartsWith(
            @"warn: Site.Ingest[2004] obs/a\x0afail: forged[1] \x1b[2J\u202e is bad System.InvalidOperationException: no fail: forged[1]",
            output.ToString(),
            StringComparison.Ordinal
        );
        Assert.DoesNotContain(output.ToString().TrimEnd(), char.IsControl);
    }

    [Fact]
    public void AddFunctions_Console_UsesItUnlessAnotherIsConfigured()
    {
        Assert.Equal(LogLineFormatter.FormatterName, NameFor([]));
        Assert.Equal("json", NameFor(["--Logging:Console:FormatterName=json"]));

        static string? NameFor(string[] arguments)
        {
            var builder = SiteApplication.CreateBuilder(arguments);
            builder.AddFunctions(typeof(LogLineFormatter).Assembly);
            using var services = builder.Services.BuildServiceProvider();
            Assert.Contains(services.GetServices<ConsoleFormatter>(), formatter => formatter is LogLineFormatter);
            return services.GetRequiredService<IOptions<ConsoleLoggerOptions>>().Value.FormatterName;
        }
    }
}
