using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Hosting;

/// <summary>
/// Writes each event on one line: time, level, category, message, exception. A message may contain the name of a file, and that may contain
/// line breaks and escape sequences; they are escaped here, once for all events, also those of libraries.
/// </summary>
/// <param name="options">Format of the time; without one, no time is written.</param>
public sealed class LogLineFormatter(IOptionsMonitor<ConsoleFormatterOptions> options) : ConsoleFormatter(FormatterName)
{
    /// <summary>The name for <c>Logging:Console:FormatterName</c>.</summary>
    public const string FormatterName = "line";

    /// <inheritdoc />
    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        ArgumentNullException.ThrowIfNull(textWriter);
        var (form, utc) = (options.CurrentValue.TimestampFormat, options.CurrentValue.UseUtcTimestamp);
        var time = form is null ? "" : (utc ? DateTimeOffset.UtcNow : DateTimeOffset.Now).ToString(form);
        var message = logEntry.Formatter?.Invoke(logEntry.State, logEntry.Exception) ?? "";
        textWriter.Write($"{time}{Level(logEntry.LogLevel)}: {logEntry.Category}[{logEntry.EventId.Id}] {message.Shown()}");
        if (logEntry.Exception is not null)
            textWriter.Write(" " + logEntry.Exception.ToString().ReplaceLineEndings(" ").Shown());
        textWriter.WriteLine();
    }

    private static string Level(LogLevel level) =>
        level switch
        {
            LogLevel.Trace => "trce",
            LogLevel.Debug => "dbug",
            LogLevel.Information => "info",
            LogLevel.Warning => "warn",
            LogLevel.Error => "fail",
            _ => "crit",
        };
}
