using System.Collections.Immutable;
using Librarian.Durable;
using Librarian.Durable.Analyzers;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Diagnostics;

namespace Librarian.Tests.Durable.Analyzers;

/// <summary>Snippets compiled in memory against the real engine; every expectation is the exact list of ids.</summary>
public class OrchestratorAnalyzerTests
{
    private static readonly Lazy<ImmutableArray<MetadataReference>> References = new(() =>
        [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator).Where(path => !path.EndsWith("Librarian.Durable.dll", StringComparison.Ordinal))
            .Append(typeof(TaskOrchestrationContext).Assembly.Location).Select(path => MetadataReference.CreateFromFile(path))]);

    [Theory]
    [InlineData("var x = DateTime.UtcNow;", "DURABLE0001", "DateTime.UtcNow")]
    [InlineData("var x = DateTime.Now;", "DURABLE0001", "DateTime.Now")]
    [InlineData("var x = DateTime.Today;", "DURABLE0001", "DateTime.Today")]
    [InlineData("var x = DateTimeOffset.UtcNow;", "DURABLE0001", "DateTimeOffset.UtcNow")]
    [InlineData("var x = TimeProvider.System.GetUtcNow();", "DURABLE0001,DURABLE0001", "TimeProvider.GetUtcNow")]
    [InlineData("var x = Stopwatch.GetTimestamp();", "DURABLE0001", "Stopwatch.GetTimestamp")]
    [InlineData("var x = Environment.TickCount64;", "DURABLE0001", "Environment.TickCount64")]
    [InlineData("var x = Guid.NewGuid();", "DURABLE0002", "Guid.NewGuid")]
    [InlineData("var x = Guid.CreateVersion7();", "DURABLE0002", "Guid.CreateVersion7")]
    [InlineData("var x = new Random().Next();", "DURABLE0002,DURABLE0002", "new Random")]
    [InlineData("var x = Random.Shared.Next();", "DURABLE0002,DURABLE0002", "Random.Next")]
    [InlineData("Func<Guid> x = Guid.NewGuid;", "DURABLE0002", "Guid.NewGuid")]
    [InlineData("await Task.Delay(1);", "DURABLE0003", "Task.Delay")]
    [InlineData("Thread.Sleep(1);", "DURABLE0003", "Thread.Sleep")]
    [InlineData("using var x = new PeriodicTimer(TimeSpan.FromSeconds(1));", "DURABLE0003", "new PeriodicTimer")]
    [InlineData("using var x = new CancellationTokenSource(TimeSpan.FromSeconds(1));", "DURABLE0003", "new CancellationTokenSource")]
    [InlineData("using var x = new CancellationTokenSource(); x.CancelAfter(5);", "DURABLE0003", "CancellationTokenSource.CancelAfter")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").WaitAsync(TimeSpan.FromSeconds(1));", "DURABLE0003", "Task.WaitAsync")]
    [InlineData("await Task.Run(() => 1);", "DURABLE0004", "Task.Run")]
    [InlineData("await Task.Factory.StartNew(() => 1);", "DURABLE0004", "TaskFactory.StartNew")]
    [InlineData("new Thread(() => { }).Start();", "DURABLE0004", "new Thread")]
    [InlineData("Parallel.For(0, 3, _ => { });", "DURABLE0004", "Parallel.For")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").ConfigureAwait(false);", "DURABLE0004", "Task.ConfigureAwait")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").ConfigureAwait(ConfigureAwaitOptions.None);", "DURABLE0004", "Task.ConfigureAwait")]
    [InlineData("using var x = new CancellationTokenSource(); await x.CancelAsync();", "DURABLE0004", "CancellationTokenSource.CancelAsync")]
    [InlineData("await foreach (var x in Task.WhenEach(c.CallActivityAsync<int>(\"a\"))) { }", "DURABLE0004", "Task.WhenEach")]
    [InlineData("var x = Environment.MachineName;", "DURABLE0005", "Environment.MachineName")]
    [InlineData("var x = File.Exists(\"a\");", "DURABLE0005", "File.Exists")]
    [InlineData("Directory.CreateDirectory(\"a\");", "DURABLE0005", "Directory.CreateDirectory")]
    [InlineData("using var x = new System.Net.Http.HttpClient();", "DURABLE0005", "new HttpClient")]
    [InlineData("using var x = new System.Net.Sockets.TcpClient();", "DURABLE0005", "new TcpClient")]
    [InlineData("Console.WriteLine(1);", "DURABLE0005", "Console.WriteLine")]
    [InlineData("Database.Open();", "DURABLE0005", "DbConnection.Open")]
    [InlineData("c.CallActivityAsync<int>(\"a\").Wait();", "DURABLE0006", "Task.Wait")]
    [InlineData("var x = c.CallActivityAsync<int>(\"a\").GetAwaiter().GetResult();", "DURABLE0006", "TaskAwaiter.GetResult")]
    [InlineData("var x = Counter;", "DURABLE0007", "Orchestrator.Counter")]
    [InlineData("Counter++;", "DURABLE0007", "Orchestrator.Counter")]
    // Reached through the same type.
    [InlineData("var x = Helper();", "DURABLE0001", "DateTime.UtcNow")]
    [InlineData("var x = Property;", "DURABLE0002", "Guid.NewGuid")]
    [InlineData("await Far(3);", "DURABLE0003", "Task.Delay")]
    [InlineData("var x = new[] { 1 }.Select(_ => Guid.NewGuid()).ToList();", "DURABLE0002", "Guid.NewGuid")]
    [InlineData("Local(); void Local() { var y = DateTime.UtcNow; }", "DURABLE0001", "DateTime.UtcNow")]
    public async Task RunAsync_RuleBroken_IsReportedWithTheCallAndTheReplacement(string statement, string ids, string what)
    {
        var found = await AnalyzeAsync(Orchestrator(statement));
        Assert.Equal(ids, string.Join(',', found.Select(diagnostic => diagnostic.Id)));
        Assert.Contains(found, diagnostic => diagnostic.GetMessage().Contains($"'{what}'", StringComparison.Ordinal));
        Assert.All(found, diagnostic => Assert.Matches("context\\.|activity|Cancel\\(\\)|await", diagnostic.GetMessage()));
    }

    [Theory]
    [InlineData("var x = c.CurrentUtcDateTime; var y = c.NewGuid(); await c.CreateTimer(TimeSpan.FromSeconds(1), default);")]
    [InlineData("var x = new DateTime(2026, 1, 1).AddDays(1) - c.CurrentUtcDateTime;")]
    [InlineData("using var x = new CancellationTokenSource(); x.Cancel(); await Task.WhenAny(c.WaitForExternalEvent<int>(\"e\", x.Token));")]
    [InlineData("var x = await Task.WhenAll(Enumerable.Range(0, 9).Select(n => c.CallActivityAsync<int>(\"a\", n)));")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").ConfigureAwait(true);")]
    [InlineData("var x = System.IO.Path.Combine(\"a\", \"b\") + Environment.NewLine + Fixed + Constant;")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").WaitAsync(new CancellationToken());")]
    [InlineData("var x = c.CallActivityAsync<int>(\"a\"); await x; var y = x.Result;")]
    [InlineData("#pragma warning disable DURABLE0002 // The reason.\nvar x = Guid.NewGuid();\n#pragma warning restore DURABLE0002\n")]
    public async Task RunAsync_Deterministic_IsNotReported(string statement) => Assert.Empty(await AnalyzeAsync(Orchestrator(statement)));

    [Fact]
    public async Task Helpers_NotReachedFromOrchestratorCode_AreNotReported() => Assert.Empty(await AnalyzeAsync(Orchestrator("")));

    [Fact]
    public async Task AddOrchestratorFunc_LambdaAndMethodGroup_AreOrchestratorCodeAndActivitiesAreNot()
    {
        var found = await AnalyzeAsync("""
            class Setup
            {
                void Configure(DurableTaskBuilder builder)
                {
                    var started = DateTime.UtcNow;
                    builder.AddOrchestratorFunc<int, int>("lambda", async (c, n) => { await Task.Delay(1); return Called(n); int Called(int m) => Random.Shared.Next(m); });
                    builder.AddOrchestratorFunc<int, int>("group", Group);
                    builder.AddActivityFunc<int, int>("a", async (_, n) => { await Task.Delay(1); return n; });
                }

                static async Task<int> Group(TaskOrchestrationContext c, int n) { await Task.Run(() => 1); return n; }
            }
            """);
        Assert.Equal(["DURABLE0002", "DURABLE0002", "DURABLE0003", "DURABLE0004"], found.Select(diagnostic => diagnostic.Id).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task RetryHandlerAndForeignHelper_TakeTheContext_AreOrchestratorCode()
    {
        var found = await AnalyzeAsync("""
            static class Extensions
            {
                public static Guid Fresh(this TaskOrchestrationContext c) => Guid.NewGuid();

                public static TaskOptions Options() => TaskOptions.FromRetryHandler(r => DateTime.UtcNow.Hour > r.LastAttemptNumber);
            }
            """);
        Assert.Equal(["DURABLE0001", "DURABLE0002"], found.Select(diagnostic => diagnostic.Id).Order(StringComparer.Ordinal));
    }

    private static string Orchestrator(string statement) => $$"""
        class Orchestrator : TaskOrchestrator<int, int>
        {
            const int Constant = 1;
            static readonly string Fixed = "x";
            static int Counter = 0;
            static System.Data.Common.DbConnection Database => null!;
            static Guid Property => Guid.NewGuid();
            static DateTime Helper() => DateTime.UtcNow;
            static Task Far(int n) => n == 0 ? Farther() : Far(n - 1);
            static Task Farther() => Task.Delay(1);
            static void NotCalled() { Thread.Sleep(1); Task.Run(() => DateTime.Now); }

            public override async Task<int> RunAsync(TaskOrchestrationContext c, int input)
            {
                {{statement}}
                await c.CallActivityAsync("last");
                return input;
            }
        }
        """;

    private static async Task<ImmutableArray<Diagnostic>> AnalyzeAsync(string code)
    {
        var source = "using System; using System.Diagnostics; using System.IO; using System.Linq; using System.Threading; using System.Threading.Tasks; using Librarian.Durable;\n" + code;
        var compilation = CSharpCompilation.Create("Snippet", [CSharpSyntaxTree.ParseText(source, cancellationToken: TestContext.Current.CancellationToken)], References.Value,
            new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));
        Assert.Empty(compilation.GetDiagnostics(TestContext.Current.CancellationToken).Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error));
        return await compilation.WithAnalyzers([new OrchestratorAnalyzer()]).GetAnalyzerDiagnosticsAsync(TestContext.Current.CancellationToken);
    }
}
