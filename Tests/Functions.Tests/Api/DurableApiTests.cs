using System.Globalization;
using System.Text.Json;
using Librarian.Functions.Api;
using Librarian.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Client;

namespace Librarian.Tests.Functions.Api;

public sealed class PostgresDurableApiTests(PostgresDurableSite site) : DurableApiTests(site), IClassFixture<PostgresDurableSite>;

[Quick]
public sealed class SqliteDurableApiTests(SqliteDurableSite site) : DurableApiTests(site), IClassFixture<SqliteDurableSite>;

/// <summary>The management API (docs/spec/functions-host.md#management-api), route by route, on both databases.</summary>
public abstract class DurableApiTests(DurableSite site)
{
    // PublicBaseUrl of every test site.
    private const string Base = "http://127.0.0.1:1/durable/v1/";

    private static string New() => "i-" + Guid.NewGuid().ToString("N")[..12];

    private static void AssertRefused(Answer answer, int status, string code)
    {
        Assert.True(status == answer.Code, $"{answer.Code} instead of {status}: {answer.Text}");
        Assert.StartsWith(code + ": ", answer.Json.GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.NotEqual("", answer.Json.GetProperty("suggested_remedy").GetString());
    }

    private static IEnumerable<string> Names(JsonElement json) => json.EnumerateObject().Select(p => p.Name);

    [Fact]
    public async Task Start_NewInstance_Is202WithAddressesInTheirOrder()
    {
        var id = New();
        var answer = await site.PostAsync($"orchestrators/echo/{id}", """{"a":[1,"é"]}""");
        Assert.Equal(202, answer.Code);
        Assert.Equal($"{Base}instances/{id}", answer.Header("Location"));
        Assert.Equal("10", answer.Header("Retry-After"));
        Assert.Equal(
            $$"""
            {"id":"{{id}}",
            "statusQueryGetUri":"{{Base}}instances/{{id}}",
            "sendEventPostUri":"{{Base}}instances/{{id}}/raiseEvent/{eventName}",
            "terminatePostUri":"{{Base}}instances/{{id}}/terminate?reason={text}",
            "purgeHistoryDeleteUri":"{{Base}}instances/{{id}}",
            "restartPostUri":"{{Base}}instances/{{id}}/restart",
            "suspendPostUri":"{{Base}}instances/{{id}}/suspend?reason={text}",
            "resumePostUri":"{{Base}}instances/{{id}}/resume?reason={text}",
            "rewindPostUri":"{{Base}}instances/{{id}}/rewind?reason={text}"}
            """.ReplaceLineEndings(""),
            answer.Text
        );
        var ended = await site.EndAsync(id);
        Assert.Equal(["a"], Names(ended.ReadOutputAs<JsonElement>()));
    }

    [Fact]
    public async Task Start_NoIdAndNoBody_MakesAnIdAndNullInput()
    {
        var answer = await site.PostAsync("orchestrators/echo");
        var id = answer.Json.GetProperty("id").GetString()!;
        Assert.Equal(32, id.Length);
        var ended = await site.EndAsync(id);
        Assert.Null(ended.SerializedOutput is null or "null" ? null : ended.SerializedOutput);
    }

    [Fact]
    public async Task Start_NameInOtherCase_IsTheSameOrchestrator() =>
        Assert.Equal("echo", (await site.EndAsync(await site.EndedAsync(New(), "eCHO"))).Name);

    [Fact]
    public async Task Start_ActiveId_Is409AndTheInstanceRunsOnAndFinishedIdIsReplaced()
    {
        var id = await site.RunningAsync(New());
        AssertRefused(await site.PostAsync($"orchestrators/echo/{id}"), 409, "InstanceActive");
        Assert.Equal("wait", (await site.Client.GetInstanceAsync(id))!.Name);
        var finished = await site.EndedAsync(New());
        Assert.Equal(202, (await site.PostAsync($"orchestrators/wait/{finished}")).Code);
        Assert.Equal("wait", (await site.Client.GetInstanceAsync(finished))!.Name);
    }

    [Theory]
    [InlineData("echo", """{"b":2}""", 200, """{"b":2}""")]
    [InlineData("echo", null, 200, "null")]
    public async Task Start_WaitedAndCompleted_Is200WithTheBareOutput(string name, string? input, int status, string output)
    {
        var answer = await site.PostAsync($"orchestrators/{name}/{New()}?timeout=60&pollingInterval=1", input);
        Assert.Equal((status, output, "application/json"), (answer.Code, answer.Text, answer.ContentType));
    }

    [Fact]
    public async Task Start_WaitedAndFailed_Is200WithTheStatus()
    {
        var answer = await site.PostAsync($"orchestrators/fail/{New()}?TIMEOUT=60&PollingInterval=0.5");
        Assert.Equal(200, answer.Code);
        Assert.Equal("Failed", answer.Json.GetProperty("runtimeStatus").GetString());
    }

    [Fact]
    public async Task Start_WaitedInVainOrOnlyHalfAsked_Is202()
    {
        var waited = await site.PostAsync($"orchestrators/wait/{New()}?timeout=0.2&pollingInterval=0.1");
        Assert.Equal(202, waited.Code);
        Assert.True(waited.Json.TryGetProperty("statusQueryGetUri", out _));
        Assert.Equal(202, (await site.PostAsync($"orchestrators/wait/{New()}?timeout=60")).Code);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("{} {}")]
    [InlineData("nonsense")]
    [InlineData("\"\\ud800\"")]
    [InlineData("[1,]")]
    public async Task Body_NoJson_Is400AndStartsNothing(string json)
    {
        var id = New();
        AssertRefused(await site.PostAsync($"orchestrators/echo/{id}", json), 400, "JsonInvalid");
        Assert.Null(await site.Client.GetInstanceAsync(id));
        var waiting = await site.RunningAsync(New());
        AssertRefused(await site.PostAsync($"instances/{waiting}/raiseEvent/go", json), 400, "JsonInvalid");
    }

    [Theory]
    [InlineData(300 * 1024)]
    [InlineData(10 * 1024 * 1024)]
    public async Task Body_TooLarge_Is413AndStartsNothing(int length)
    {
        var id = New();
        var body = "\"" + new string('x', length) + "\"";
        AssertRefused(await site.PostAsync($"orchestrators/echo/{id}", body), 413, "PayloadTooLarge");
        Assert.Null(await site.Client.GetInstanceAsync(id));
        AssertRefused(await site.PostAsync($"instances/{await site.RunningAsync(New())}/raiseEvent/go", body), 413, "PayloadTooLarge");
    }

    [Fact]
    public async Task Body_GrowsOverTheLimitWhenStored_Is413()
    {
        // Each of these letters is stored as six bytes.
        var body = "\"" + new string('é', 100 * 1024) + "\"";
        AssertRefused(await site.PostAsync($"orchestrators/echo/{New()}", body), 413, "PayloadTooLarge");
    }

    [Theory]
    [InlineData("no-such", 400, "OrchestratorUnknown")]
    [InlineData("echo/@x", 400, "InstanceIdInvalid")]
    [InlineData("echo/a%2Fb", 400, "InstanceIdInvalid")]
    [InlineData("echo/a%5Cb", 400, "InstanceIdInvalid")]
    [InlineData("echo/a%23b", 400, "InstanceIdInvalid")]
    [InlineData("echo/a%3Fb", 400, "InstanceIdInvalid")]
    [InlineData("echo/a%01b", 400, "InstanceIdInvalid")]
    [InlineData("echo/a%0Ab", 400, "InstanceIdInvalid")]
    [InlineData("echo/x?timeout=-1&pollingInterval=1", 400, "ParameterInvalid")]
    [InlineData("echo/x?timeout=1&pollingInterval=0", 400, "ParameterInvalid")]
    [InlineData("echo/x?timeout=1&pollingInterval=NaN", 400, "ParameterInvalid")]
    [InlineData("echo/x?timeout=1&pollingInterval=2", 400, "ParameterInvalid")]
    [InlineData("echo/x?timeout=1e400&pollingInterval=2", 400, "ParameterInvalid")]
    public async Task Start_BadRequest_IsRefusedWithAdvice(string path, int status, string code) =>
        AssertRefused(await site.PostAsync("orchestrators/" + path), status, code);

    [Fact]
    public async Task Ids_LongAndStrange_WorkUpToTheLimits()
    {
        AssertRefused(await site.PostAsync("orchestrators/echo/" + new string('x', 101)), 400, "InstanceIdInvalid");
        AssertRefused(await site.GetAsync("instances/" + new string('x', 201)), 400, "InstanceIdInvalid");
        AssertRefused(await site.GetAsync("instances/a%01b"), 400, "InstanceIdInvalid");
        foreach (var id in new[] { new string('y', 100), "quote'\"; é €", "100% %x" + New(), "a:b+c&d=e" })
        {
            var started = await site.PostAsync("orchestrators/echo/" + Uri.EscapeDataString(id));
            Assert.Equal((202, id), (started.Code, started.Json.GetProperty("id").GetString()));
            var address = started.Json.GetProperty("statusQueryGetUri").GetString()!;
            var found = await site.GetAsync(new Uri(address).PathAndQuery);
            Assert.Equal(id, found.Json.GetProperty("instanceId").GetString());
        }

        // Programs may give ids that HTTP may not; they can still be managed.
        var slashed = "a/b?" + New();
        await site.Client.ScheduleNewOrchestrationInstanceAsync("wait", null, new StartOrchestrationOptions(slashed));
        Assert.Equal(202, (await site.PostAsync($"instances/{Uri.EscapeDataString(slashed)}/terminate")).Code);
        await site.UntilAsync(slashed, OrchestrationRuntimeStatus.Terminated);
    }

    [Fact]
    public async Task Get_Running_Is202WithLocationAndRetryAfter()
    {
        var id = New();
        Assert.Equal(202, (await site.PostAsync($"orchestrators/wait/{id}", "[1]")).Code);
        await site.Client.WaitForInstanceStartAsync(id);
        var answer = await site.GetAsync($"instances/{id}?showInput=true");
        Assert.Equal(202, answer.Code);
        Assert.Equal($"{Base}instances/{id}?showInput=true", answer.Header("Location"));
        Assert.Equal("5", answer.Header("Retry-After"));
        Assert.Equal(
            ["name", "instanceId", "runtimeStatus", "input", "customStatus", "output", "createdTime", "lastUpdatedTime"],
            Names(answer.Json)
        );
        Assert.Equal(
            """["wait","Running",[1],{"stage":"waiting"},null]""",
            JsonSerializer.Serialize(
                new[] { "name", "runtimeStatus", "input", "customStatus", "output" }.Select(n => answer.Json.GetProperty(n))
            )
        );
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", answer.Json.GetProperty("createdTime").GetString());
        var bare = await site.GetAsync($"instances/{id}?SHOWINPUT=False");
        Assert.Equal(JsonValueKind.Null, bare.Json.GetProperty("input").ValueKind);
    }

    [Fact]
    public async Task Get_Finished_Is200AndFailureIs500OnlyWhenAsked()
    {
        var done = await site.GetAsync($"instances/{await site.EndedAsync(New(), "echo", "5")}");
        Assert.Equal((200, 5, null), (done.Code, done.Json.GetProperty("output").GetInt32(), done.Header("Location")));
        var failed = await site.EndedAsync(New(), "fail");
        var answer = await site.GetAsync($"instances/{failed}");
        Assert.Equal((200, "Orchestrator function 'fail' failed: it broke"), (answer.Code, answer.Json.GetProperty("output").GetString()));
        var asked = await site.GetAsync($"instances/{failed}?returnInternalServerErrorOnFailure=true");
        Assert.Equal((500, "Failed"), (asked.Code, asked.Json.GetProperty("runtimeStatus").GetString()));
        Assert.Equal(200, (await site.GetAsync($"instances/{await site.EndedAsync(New())}?returnInternalServerErrorOnFailure=true")).Code);
    }

    [Theory]
    [InlineData("GET", "")]
    [InlineData("DELETE", "")]
    [InlineData("POST", "/raiseEvent/x")]
    [InlineData("POST", "/terminate")]
    [InlineData("POST", "/suspend?reason=x")]
    [InlineData("POST", "/resume")]
    [InlineData("POST", "/rewind")]
    public async Task Unknown_Instance_Is404(string method, string operation) =>
        AssertRefused(
            await site.CallAsync(new HttpMethod(method), $"instances/{New()}{operation}", method == "POST" ? "1" : null),
            404,
            "InstanceNotFound"
        );

    [Theory]
    [InlineData("/raiseEvent/x")]
    [InlineData("/terminate")]
    [InlineData("/suspend")]
    [InlineData("/resume")]
    public async Task Finished_Instance_Is410AndUnchanged(string operation)
    {
        foreach (var id in new[] { await site.EndedAsync(New()), await site.EndedAsync(New(), "fail") })
        {
            var before = await site.GetAsync($"instances/{id}");
            AssertRefused(await site.PostAsync($"instances/{id}{operation}", "1"), 410, "InstanceFinished");
            Assert.Equal(before.Text, (await site.GetAsync($"instances/{id}")).Text);
        }
    }

    [Fact]
    public async Task RaiseEvent_Json_Is202AndReachesTheInstance()
    {
        var id = await site.RunningAsync(New());
        var answer = await site.CallAsync(
            HttpMethod.Post,
            $"instances/{id}/raiseEvent/GO",
            """{"n":1}""",
            contentType: "application/json; charset=utf-8"
        );
        Assert.Equal((202, ""), (answer.Code, answer.Text));
        Assert.Equal("""{"n":1}""", (await site.EndAsync(id)).SerializedOutput);
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("")]
    public async Task RaiseEvent_OtherContentType_Is400(string contentType) =>
        AssertRefused(
            await site.CallAsync(
                HttpMethod.Post,
                $"instances/{await site.RunningAsync(New())}/raiseEvent/go",
                "1",
                contentType: contentType
            ),
            400,
            "ContentTypeInvalid"
        );

    [Fact]
    public async Task RaiseEvent_BadName_Is400()
    {
        var id = await site.RunningAsync(New());
        AssertRefused(await site.PostAsync($"instances/{id}/raiseEvent/{new string('e', 201)}", "1"), 400, "NameInvalid");
        AssertRefused(await site.PostAsync($"instances/{id}/raiseEvent/a%7F", "1"), 400, "NameInvalid");
    }

    [Fact]
    public async Task Terminate_Running_EndsItWithTheReason()
    {
        var id = await site.RunningAsync(New());
        var answer = await site.PostAsync($"instances/{id}/terminate?reason=enough%20%C3%A9");
        Assert.Equal((202, ""), (answer.Code, answer.Text));
        await site.UntilAsync(id, OrchestrationRuntimeStatus.Terminated);
        var ended = await site.GetAsync($"instances/{id}");
        Assert.Equal((200, "enough é"), (ended.Code, ended.Json.GetProperty("output").GetString()));
        AssertRefused(await site.PostAsync($"instances/{await site.RunningAsync(New())}/terminate?reason=a%00b"), 400, "ParameterInvalid");
    }

    [Fact]
    public async Task SuspendAndResume_Running_KeepItsEvents()
    {
        var id = await site.RunningAsync(New());
        Assert.Equal(202, (await site.PostAsync($"instances/{id}/suspend?reason=lunch")).Code);
        await site.UntilAsync(id, OrchestrationRuntimeStatus.Suspended);
        Assert.Equal(202, (await site.GetAsync($"instances/{id}")).Code);
        Assert.Equal(202, (await site.PostAsync($"instances/{id}/suspend")).Code);
        Assert.Equal(202, (await site.PostAsync($"instances/{id}/raiseEvent/go", "1")).Code);
        Assert.Equal(202, (await site.PostAsync($"instances/{id}/resume")).Code);
        Assert.Equal("1", (await site.EndAsync(id)).SerializedOutput);
    }

    [Fact]
    public async Task Rewind_Failed_RunsOnFromWhatSucceeded()
    {
        var id = New();
        site.Broken[id] = true;
        await site.EndedAsync(id, "mend", "\"a\"");
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await site.Client.GetInstanceAsync(id))!.RuntimeStatus);
        site.Broken.TryRemove(id, out _);
        var answer = await site.PostAsync($"instances/{id}/rewind?reason=mended");
        Assert.Equal((202, ""), (answer.Code, answer.Text));
        var ended = await site.EndAsync(id);
        Assert.Equal((OrchestrationRuntimeStatus.Completed, "\"a!mended\""), (ended.RuntimeStatus, ended.SerializedOutput));
        var rewound = Assert.Single(
            (await site.GetAsync($"instances/{id}?showHistory=true")).Json.GetProperty("historyEvents").EnumerateArray(),
            e => e.GetProperty("EventType").GetString() == "ExecutionRewound"
        );
        Assert.Equal("mended", rewound.GetProperty("Reason").GetString());
    }

    [Fact]
    public async Task Rewind_NotFailed_Is410WhenFinishedAnd409WhenNot()
    {
        AssertRefused(await site.PostAsync($"instances/{await site.EndedAsync(New())}/rewind"), 410, "InstanceFinished");
        var terminated = await site.RunningAsync(New());
        await site.PostAsync($"instances/{terminated}/terminate");
        await site.UntilAsync(terminated, OrchestrationRuntimeStatus.Terminated);
        AssertRefused(await site.PostAsync($"instances/{terminated}/rewind"), 410, "InstanceFinished");
        var running = await site.RunningAsync(New());
        AssertRefused(await site.PostAsync($"instances/{running}/rewind"), 409, "InstanceNotFailed");
        Assert.Equal(OrchestrationRuntimeStatus.Running, (await site.Client.GetInstanceAsync(running))!.RuntimeStatus);
    }

    [Fact]
    public async Task Restart_Finished_StartsAgainWithTheOldInput()
    {
        var id = await site.EndedAsync(New(), "echo", "[5]");
        var answer = await site.PostAsync($"instances/{id}/restart");
        Assert.Equal((202, "10"), (answer.Code, answer.Header("Retry-After")));
        var another = answer.Json.GetProperty("id").GetString()!;
        Assert.NotEqual(id, another);
        Assert.Equal($"{Base}instances/{another}", answer.Header("Location"));
        Assert.Equal("[5]", (await site.EndAsync(another)).SerializedOutput);
        var same = await site.PostAsync($"instances/{id}/restart?restartWithNewInstanceId=false&timeout=60&pollingInterval=1");
        Assert.Equal((200, "[5]"), (same.Code, same.Text));
    }

    [Fact]
    public async Task Restart_UnknownOrActive_IsRefused()
    {
        AssertRefused(await site.PostAsync($"instances/{New()}/restart"), 400, "InstanceNotFound");
        var running = await site.RunningAsync(New());
        AssertRefused(await site.PostAsync($"instances/{running}/restart?restartWithNewInstanceId=false"), 409, "InstanceActive");
        AssertRefused(await site.PostAsync($"instances/{running}/restart?restartWithNewInstanceId=perhaps"), 400, "ParameterInvalid");
        Assert.Equal(202, (await site.PostAsync($"instances/{running}/restart")).Code);
    }

    [Fact]
    public async Task History_WhenAsked_IsFoldedAndShowsWhatIsOpen()
    {
        var id = New();
        Assert.Equal(202, (await site.PostAsync($"orchestrators/story/{id}", "\"hi\"")).Code);
        await site.Client.WaitForInstanceStartAsync(id);
        Assert.Equal(202, (await site.PostAsync($"instances/{id}/raiseEvent/go", "\"now\"")).Code);
        // The child is started by the turn that took the event.
        await Wait.UntilAsync(async () => await site.Client.GetInstanceAsync(id + "-open") is not null, "the child");
        var answer = await site.GetAsync($"instances/{id}?showHistory=true&showHistoryOutput=true");
        Assert.Equal("historyEvents", Names(answer.Json).Last());
        var rows = answer.Json.GetProperty("historyEvents").EnumerateArray().ToArray();
        Assert.Equal(
            [
                "EventRaised",
                "ExecutionStarted",
                "SubOrchestrationInstanceCompleted",
                "SubOrchestrationInstanceCreated",
                "TaskCompleted",
                "TaskFailed",
                "TimerCreated",
                "TimerFired",
            ],
            rows.Select(r => r.GetProperty("EventType").GetString()).Order(StringComparer.Ordinal)
        );
        var times = rows.Select(r => r.GetProperty("Timestamp").GetDateTimeOffset()).ToArray();
        var created = answer.Json.GetProperty("createdTime").GetDateTimeOffset();
        Assert.All(times, t => Assert.InRange(t, created, created.AddMinutes(5)));
        JsonElement Row(string type) => rows.Single(r => r.GetProperty("EventType").GetString() == type);
        Assert.Equal(["EventType", "Timestamp", "FunctionName", "Input"], Names(Row("ExecutionStarted")));
        Assert.Equal("story", Row("ExecutionStarted").GetProperty("FunctionName").GetString());
        Assert.Equal(["EventType", "Timestamp", "FunctionName", "ScheduledTime", "Result", "Input"], Names(Row("TaskCompleted")));
        Assert.Equal(
            ("shout", "hi!", "hi"),
            (
                Row("TaskCompleted").GetProperty("FunctionName").GetString(),
                Row("TaskCompleted").GetProperty("Result").GetString(),
                Row("TaskCompleted").GetProperty("Input").GetString()
            )
        );
        Assert.Equal(
            ("fragile", "System.IO.IOException: story is broken"),
            (Row("TaskFailed").GetProperty("FunctionName").GetString(), Row("TaskFailed").GetProperty("Reason").GetString())
        );
        Assert.Contains("Fragile", Row("TaskFailed").GetProperty("Details").GetString(), StringComparison.Ordinal);
        Assert.Equal(
            ("echo", id + "-child"),
            (
                Row("SubOrchestrationInstanceCompleted").GetProperty("FunctionName").GetString(),
                Row("SubOrchestrationInstanceCompleted").GetProperty("InstanceId").GetString()
            )
        );
        Assert.Equal(["EventType", "Timestamp", "ScheduledTime", "FireAt"], Names(Row("TimerFired")));
        Assert.Equal(
            ("go", "now"),
            (Row("EventRaised").GetProperty("Name").GetString(), Row("EventRaised").GetProperty("Input").GetString())
        );
        Assert.Equal(id + "-open", Row("SubOrchestrationInstanceCreated").GetProperty("InstanceId").GetString());
        Assert.True(
            Row("TimerCreated").GetProperty("FireAt").GetDateTimeOffset()
                > Row("TimerCreated").GetProperty("Timestamp").GetDateTimeOffset().AddMinutes(59)
        );

        Assert.Equal(202, (await site.PostAsync($"instances/{id}/raiseEvent/end", "\"x\"")).Code);
        await site.EndAsync(id);
        var bare = (await site.GetAsync($"instances/{id}?showHistory=true&showInput=false"))
            .Json.GetProperty("historyEvents")
            .EnumerateArray()
            .ToArray();
        Assert.DoesNotContain(bare, r =>
            r.TryGetProperty("Input", out _) || r.TryGetProperty("Result", out _) || r.TryGetProperty("Details", out _)
        );
        Assert.Equal("Completed", bare[^1].GetProperty("OrchestrationStatus").GetString());
        Assert.False((await site.GetAsync($"instances/{id}")).Json.TryGetProperty("historyEvents", out _));
    }

    [Fact]
    public async Task List_Filters_ArePassedOn()
    {
        var prefix = New();
        var running = await site.RunningAsync(prefix + "_a");
        var failed = await site.EndedAsync(prefix + "-b", "fail");
        var done = await site.EndedAsync(prefix + "_c", "echo", "1");
        async Task<string[]> Ids(string query) =>
            [
                .. (await site.GetAsync("instances?" + query))
                    .Json.EnumerateArray()
                    .Select(i => i.GetProperty("instanceId").GetString()!)
                    .Where(i => i.StartsWith(prefix, StringComparison.Ordinal)),
            ];

        Assert.Equal([running, failed, done], await Ids($"instanceIdPrefix={prefix}"));
        Assert.Equal([running, done], await Ids($"INSTANCEIDPREFIX={prefix}_"));
        Assert.Equal([failed, done], await Ids($"instanceIdPrefix={prefix}&runtimeStatus=failed,Completed"));
        Assert.Equal([failed, done], await Ids($"instanceIdPrefix={prefix}&runtimeStatus=Failed&runtimeStatus=Completed"));
        Assert.Empty(await Ids($"instanceIdPrefix={prefix}&runtimeStatus=Canceled"));
        Assert.Empty(await Ids($"instanceIdPrefix={prefix}&createdTimeTo=2020-01-01"));
        Assert.Empty(await Ids($"instanceIdPrefix={prefix}&createdTimeFrom=2999-01-01T00:00:00%2B02:00"));
        Assert.Equal(
            [running, failed, done],
            await Ids($"instanceIdPrefix={prefix}&createdTimeFrom=2020-01-01T00:00:00Z&createdTimeTo=2999-12-31T00:00:00.000Z")
        );
        var row = (await site.GetAsync($"instances/?instanceIdPrefix={prefix}_c&showInput=false")).Json[0];
        Assert.Equal(
            ["name", "instanceId", "runtimeStatus", "input", "customStatus", "output", "createdTime", "lastUpdatedTime"],
            Names(row)
        );
        Assert.Equal(JsonValueKind.Null, row.GetProperty("input").ValueKind);
    }

    [Fact]
    public async Task List_Pages_CoverEverythingOnce()
    {
        var prefix = New();
        for (var n = 0; n < 5; n++)
            await site.RunningAsync($"{prefix}-{n}");
        var seen = new List<string>();
        string? token = null;
        var pages = 0;
        do
        {
            var answer = await site.CallAsync(
                HttpMethod.Get,
                $"instances?instanceIdPrefix={prefix}&top=2",
                headers: token is null ? [] : [("x-ms-continuation-token", token)]
            );
            Assert.Equal(200, answer.Code);
            seen.AddRange(answer.Json.EnumerateArray().Select(i => i.GetProperty("instanceId").GetString()!));
            token = answer.Header("x-ms-continuation-token");
            pages++;
        } while (!string.IsNullOrEmpty(token));
        Assert.Equal((3, 5), (pages, seen.Distinct(StringComparer.Ordinal).Count()));
        Assert.Equal(5, seen.Count);
    }

    [Theory]
    [InlineData("top=0")]
    [InlineData("top=-1")]
    [InlineData("top=1001")]
    [InlineData("top=99999999999999999999")]
    [InlineData("top=many")]
    [InlineData("createdTimeFrom=yesterdayish")]
    [InlineData("createdTimeTo=2026-13-01")]
    [InlineData("createdTimeFrom=2026-01-01T00:00:00+01:00")]
    [InlineData("runtimeStatus=Sleeping")]
    [InlineData("runtimeStatus=0")]
    [InlineData("runtimeStatus=Running,Nope")]
    [InlineData("showInput=perhaps")]
    [InlineData("instanceIdPrefix=a%00b")]
    public async Task List_BadParameter_Is400WithAdvice(string query) =>
        AssertRefused(await site.GetAsync("instances?" + query), 400, "ParameterInvalid");

    [Theory]
    [InlineData("showHistory=1")]
    [InlineData("showHistoryOutput=x")]
    [InlineData("returnInternalServerErrorOnFailure=yes")]
    public async Task Get_BadParameter_Is400WithAdvice(string query) =>
        AssertRefused(await site.GetAsync($"instances/{New()}?{query}"), 400, "ParameterInvalid");

    [Theory]
    [InlineData("nonsense")]
    [InlineData("AAAA")]
    [InlineData("eyJQYXJ0aXRpb24iOjF9")]
    public async Task List_ForeignToken_Is400(string token) =>
        AssertRefused(
            await site.CallAsync(HttpMethod.Get, "instances", headers: [("x-ms-continuation-token", token)]),
            400,
            "ContinuationTokenInvalid"
        );

    [Fact]
    public async Task Purge_FinishedRunningAndUnknown_AreToldApart()
    {
        var id = await site.EndedAsync(New());
        var answer = await site.DeleteAsync($"instances/{id}");
        Assert.Equal((200, """{"instancesDeleted":1}"""), (answer.Code, answer.Text));
        AssertRefused(await site.DeleteAsync($"instances/{id}"), 404, "InstanceNotFound");
        AssertRefused(await site.DeleteAsync($"instances/{await site.RunningAsync(New())}"), 404, "InstanceNotFinished");
    }

    [Fact]
    public async Task PurgeMany_ByTimeAndStatus_LeavesTheRest()
    {
        AssertRefused(await site.DeleteAsync("instances"), 400, "ParameterMissing");
        AssertRefused(await site.DeleteAsync("instances?createdTimeFrom=soon"), 400, "ParameterInvalid");
        AssertRefused(await site.DeleteAsync("instances?createdTimeFrom=2999-01-01"), 404, "NothingToPurge");
        AssertRefused(await site.DeleteAsync("instances?createdTimeFrom=2000-01-01&runtimeStatus=Running"), 404, "NothingToPurge");
        // In the future of every other instance of this class: nothing else fits the filter.
        var id = New();
        await site.EndedAsync(id, "fail");
        var created = (await site.Client.GetInstanceAsync(id))!.CreatedAt;
        var time = Uri.EscapeDataString(created.ToString("o", CultureInfo.InvariantCulture));
        AssertRefused(
            await site.DeleteAsync($"instances?createdTimeFrom={time}&createdTimeTo={time}&runtimeStatus=Completed"),
            404,
            "NothingToPurge"
        );
        var answer = await site.DeleteAsync($"instances?createdTimeFrom={time}&createdTimeTo={time}&runtimeStatus=Failed");
        Assert.Equal((200, """{"instancesDeleted":1}"""), (answer.Code, answer.Text));
        Assert.Null(await site.Client.GetInstanceAsync(id));
    }

    [Theory]
    [InlineData("GET", "instances", true)]
    [InlineData("GET", "instances/x", true)]
    [InlineData("POST", "orchestrators/echo", false)]
    [InlineData("POST", "orchestrators/echo/x", false)]
    [InlineData("DELETE", "instances?createdTimeFrom=2000-01-01", false)]
    [InlineData("DELETE", "instances/x", false)]
    [InlineData("POST", "instances/x/raiseEvent/e", false)]
    [InlineData("POST", "instances/x/terminate", false)]
    [InlineData("POST", "instances/x/suspend", false)]
    [InlineData("POST", "instances/x/resume", false)]
    [InlineData("POST", "instances/x/rewind", false)]
    [InlineData("POST", "instances/x/restart", false)]
    public async Task Level_OfEachRoute_IsReadOnlyForQueriesAndAdminForTheRest(string method, string path, bool readable)
    {
        var json = method == "POST" ? "1" : null;
        Assert.Equal(readable, (await site.CallAsync(new HttpMethod(method), path, json, "reader")).Code != 401);
        Assert.Equal(401, (await site.CallAsync(new HttpMethod(method), path, json, "nobody")).Code);
        var refused = await site.CallAsync(new HttpMethod(method), path, json, readable ? "nobody" : "uploader");
        Assert.Equal((401, """{"detail":"Incorrect username or password"}"""), (refused.Code, refused.Text));
    }

    [Theory]
    [InlineData("GET", "entities")]
    [InlineData("GET", "entities/counter/a")]
    [InlineData("POST", "entities/counter/a")]
    [InlineData("POST", "makeprimary")]
    [InlineData("GET", "")]
    [InlineData("POST", "instances/x/explode")]
    public async Task Route_Absent_Is404(string method, string path)
    {
        var answer = await site.CallAsync(new HttpMethod(method), path);
        Assert.Equal((404, """{"detail":"Not Found"}"""), (answer.Code, answer.Text));
    }

    [Fact]
    public void Functions_OfTheSite_HaveEveryRouteOfTheApi()
    {
        var routes = FunctionCatalog
            .Discover(typeof(PingFunctions).Assembly)
            .HttpFunctions.Where(function => function.Route.StartsWith("durable/v1/", StringComparison.Ordinal))
            .Select(function => $"{string.Join(',', function.Methods).ToLowerInvariant()} {function.Route["durable/v1/".Length..]}");
        Assert.Equal(
            [
                "delete instances",
                "delete instances/{instanceId}",
                "get instances",
                "get instances/{instanceId}",
                "post instances/{instanceId}/raiseEvent/{eventName}",
                "post instances/{instanceId}/restart",
                "post instances/{instanceId}/resume",
                "post instances/{instanceId}/rewind",
                "post instances/{instanceId}/suspend",
                "post instances/{instanceId}/terminate",
                "post orchestrators/{functionName}/{instanceId?}",
            ],
            routes.Order(StringComparer.Ordinal)
        );
    }
}
